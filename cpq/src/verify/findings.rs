//! What a proof found: the first of them in words, the number of all.

use crate::Failure;
use crate::output::{Answer, Paint, Style};
use serde::Serialize;
use serde_json::json;

/// Findings that are kept in words; the rest are only counted.
pub const MAX_KEPT: usize = 1_000;
/// Findings that are shown as text; JSON has those that are kept.
const MAX_SHOWN: usize = 50;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A topic's partition and offset, a quote's revision, an audit entry.
    pub place: String,
    pub detail: String,
}

/// What was found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    kept: Vec<Finding>,
    count: u64,
}

impl Findings {
    pub fn add(&mut self, place: impl Into<String>, detail: impl Into<String>) {
        self.count += 1;
        if self.kept.len() < MAX_KEPT {
            self.kept.push(Finding { place: place.into(), detail: detail.into() });
        }
    }

    /// Takes over what another part of the proof has found.
    pub fn absorb(&mut self, other: Self) {
        self.count += other.count;
        self.kept.extend(other.kept.into_iter().take(MAX_KEPT.saturating_sub(self.kept.len())));
    }

    pub fn any(&self) -> bool {
        self.count > 0
    }

    #[cfg(test)]
    pub fn details(&self) -> Vec<&str> {
        self.kept.iter().map(|finding| finding.detail.as_str()).collect()
    }

    /// The answer of a proof: what was proven, in words and numbers, then what was found.
    pub fn answer(&self, proven: &str, numbers: &impl Serialize, paint: Paint) -> Result<Answer, Failure> {
        let (style, verdict) = match self.count {
            0 => (Style::Green, "nothing amiss".to_owned()),
            1 => (Style::Red, "1 finding".to_owned()),
            count => (Style::Red, format!("{count} findings")),
        };
        let mut lines = vec![format!("{proven}: {}", paint.apply(style, &verdict))];
        lines.extend(
            self.kept.iter().take(MAX_SHOWN).map(|f| paint.apply(Style::Red, &format!("{}: {}", f.place, f.detail))),
        );
        if self.count > MAX_SHOWN as u64 {
            lines.push(format!("the first {MAX_SHOWN} are shown; --output json has up to {MAX_KEPT}"));
        }
        let report = json!({"numbers": numbers, "findings": self.kept, "findingCount": self.count});
        Ok(Answer::new(&report, lines.join("\n"))?.finding_if(self.any()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_findings_are_counted_and_the_first_are_kept() {
        let mut findings = Findings::default();
        (0..MAX_KEPT + 5).for_each(|n| findings.add(format!("place {n}"), "wrong"));
        let answer = findings.answer("10 records", &json!({}), Paint(false)).unwrap();
        assert!(answer.finding);
        assert!(answer.text.starts_with("10 records: 1005 findings\nplace 0: wrong\n"), "{}", answer.text);
        assert_eq!(answer.json["findingCount"], 1005);
        assert_eq!(answer.json["findings"].as_array().map(Vec::len), Some(MAX_KEPT));
    }

    #[test]
    fn a_proof_without_findings_says_so() {
        let answer = Findings::default().answer("10 records", &json!({}), Paint(false)).unwrap();
        assert!(!answer.finding);
        assert_eq!(answer.text, "10 records: nothing amiss");
    }
}
