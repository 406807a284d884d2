//! Whether `aggregateSequence` is without gap and inversion, and repeats are identical, per aggregate. Pure.

use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What is remembered of each record: enough to tell whether a repeat is identical.
const FINGERPRINT_BYTES: usize = 16;
type Fingerprint = [u8; FINGERPRINT_BYTES];

/// A record as an outsider reads it from its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub aggregate_sequence: i64,
    pub event_id: String,
}

/// The sequences seen of each aggregate of one topic.
#[derive(Debug, Default)]
pub struct Sequences {
    seen: HashMap<(String, String), Aggregate>,
    pub repeats: u64,
}

#[derive(Debug)]
struct Aggregate {
    /// The sequence of the first record that is still there.
    first: i64,
    partition: i32,
    records: Vec<Fingerprint>,
}

impl Sequences {
    pub fn aggregates(&self) -> usize {
        self.seen.len()
    }

    /// Judges the next record of a partition. `from_one`: nothing older can have been removed, so that each
    /// aggregate must begin at 1.
    pub fn judge(&mut self, facts: Facts, value: &[u8], partition: i32, from_one: bool) -> Result<(), String> {
        let Facts { aggregate_type, aggregate_id, aggregate_sequence: sequence, event_id } = facts;
        let name = format!("{aggregate_type} {aggregate_id}");
        let mark = fingerprint(&event_id, value);
        let Some(known) = self.seen.get_mut(&(aggregate_type.clone(), aggregate_id.clone())) else {
            let record = Aggregate { first: sequence, partition, records: vec![mark] };
            self.seen.insert((aggregate_type, aggregate_id), record);
            let complete = !from_one || sequence == 1;
            return complete.then_some(()).ok_or_else(|| format!("{name} begins at sequence {sequence}, not 1"));
        };
        if known.partition != partition {
            return Err(format!("{name} is in partition {} and in {partition}: its order is lost", known.partition));
        }
        let next = known.first + known.records.len() as i64;
        if sequence == next {
            known.records.push(mark);
            return Ok(());
        }
        if sequence > next {
            // What follows is judged from here on, so that one gap is one finding.
            known.first = sequence;
            known.records = vec![mark];
            return Err(format!("{name}: sequence {sequence} follows {}: a gap", next - 1));
        }
        let earlier = usize::try_from(sequence - known.first).ok().and_then(|index| known.records.get(index));
        match earlier {
            Some(earlier) if *earlier == mark => {
                self.repeats += 1;
                Ok(())
            }
            Some(_) => Err(format!("{name}: sequence {sequence} is repeated with other content")),
            None => Err(format!("{name}: sequence {sequence} comes after {}: an inversion", next - 1)),
        }
    }
}

fn fingerprint(event_id: &str, value: &[u8]) -> Fingerprint {
    let digest = Sha256::new().chain_update(event_id).chain_update([0]).chain_update(value).finalize();
    let mut mark = Fingerprint::default();
    mark.copy_from_slice(&digest[..FINGERPRINT_BYTES]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    type Record<'a> = (&'a str, i64, &'a str);

    fn faults(records: &[Record], from_one: bool) -> (Vec<String>, u64) {
        let mut sequences = Sequences::default();
        let judge = |(id, sequence, content): &Record| {
            let facts = Facts {
                aggregate_type: "QUOTE".to_owned(),
                aggregate_id: (*id).to_owned(),
                aggregate_sequence: *sequence,
                event_id: format!("{id}-{sequence}"),
            };
            sequences.judge(facts, content.as_bytes(), 0, from_one).err()
        };
        let faults = records.iter().filter_map(judge).collect();
        (faults, sequences.repeats)
    }

    #[rstest]
    #[case::in_order(&[("a", 1, "x"), ("b", 1, "y"), ("a", 2, "z")], &[], 0)]
    #[case::repeated(&[("a", 1, "x"), ("a", 2, "y"), ("a", 1, "x"), ("a", 2, "y"), ("a", 3, "z")], &[], 2)]
    #[case::gap(&[("a", 1, "x"), ("a", 3, "y"), ("a", 4, "z")], &["QUOTE a: sequence 3 follows 1: a gap"], 0)]
    #[case::gap_filled_late(&[("a", 1, "x"), ("a", 3, "y"), ("a", 2, "z")],
        &["QUOTE a: sequence 3 follows 1: a gap", "QUOTE a: sequence 2 comes after 3: an inversion"], 0)]
    #[case::conflict(&[("a", 1, "x"), ("a", 1, "other")], &["QUOTE a: sequence 1 is repeated with other content"], 0)]
    #[case::begin_missing(&[("a", 2, "x")], &["QUOTE a begins at sequence 2, not 1"], 0)]
    fn sequences_are_judged(#[case] records: &[Record], #[case] expected: &[&str], #[case] repeats: u64) {
        let (faults, repeated) = faults(records, true);
        assert_eq!(faults, expected);
        assert_eq!(repeated, repeats);
    }

    #[test]
    fn where_retention_has_removed_the_begin_an_aggregate_may_begin_later() {
        assert_eq!(faults(&[("a", 5, "x"), ("a", 6, "y")], false).0, Vec::<String>::new());
    }

    #[test]
    fn an_aggregate_in_two_partitions_is_found() {
        let mut sequences = Sequences::default();
        let facts = |sequence| Facts {
            aggregate_type: "QUOTE".to_owned(),
            aggregate_id: "a".to_owned(),
            aggregate_sequence: sequence,
            event_id: String::new(),
        };
        assert_eq!(sequences.judge(facts(1), b"x", 0, true), Ok(()));
        assert!(sequences.judge(facts(2), b"y", 1, true).is_err());
    }
}
