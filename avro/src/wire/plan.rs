//! A schema compiled to what reading and writing need: types without indirection, defaults at hand. Only the
//! part of Avro that this product's schemas use; anything else is refused here, once, rather than per record.

use super::primitive::{self, DecimalText};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// How deep types of a schema may nest. Ours stay under twenty; a schema from the registry is input.
pub const MAX_DEPTH: usize = 64;

/// A type of the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Null,
    Boolean,
    Long,
    String,
    /// `timestamp-micros`; RFC 3339 in JSON.
    Timestamp,
    /// `bytes` with logical type `decimal`; a plain decimal string in JSON.
    Decimal {
        precision: u32,
        scale: u32,
        text: DecimalText,
    },
    Array(Arc<Type>),
    Map(Arc<Type>),
    Union(Vec<Type>),
    Record(Arc<RecordType>),
}

/// A record and its fields in wire order.
#[derive(Debug, PartialEq)]
pub struct RecordType {
    /// `cpq.quote.QuotePriced`.
    pub full_name: String,
    pub fields: Vec<Field>,
}

/// A field of a record.
#[derive(Debug, PartialEq)]
pub struct Field {
    pub name: String,
    pub ty: Type,
    /// What a writer that does not know the field means by it.
    pub default: Option<Value>,
}

impl Type {
    /// The kind's name, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Long => "long",
            Self::String => "string",
            Self::Timestamp => "timestamp-micros",
            Self::Decimal { .. } => "decimal",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(_) => "record",
        }
    }
}

impl RecordType {
    /// The field of that name; `hint` is where it most likely stands.
    pub fn field(&self, name: &str, hint: usize) -> Option<&Field> {
        match self.fields.get(hint) {
            Some(field) if field.name == name => Some(field),
            _ => self.fields.iter().find(|field| field.name == name),
        }
    }
}

/// A schema that this codec cannot use, with the place in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schema cannot be used at {path}: {cause}")]
pub struct PlanError {
    pub path: String,
    pub cause: String,
}

impl PlanError {
    fn new(path: &Path<'_>, cause: impl Into<String>) -> Self {
        Self { path: path.to_string(), cause: cause.into() }
    }
}

/// Compiles a self-contained schema whose top is a record.
pub fn compile(schema: &Value) -> Result<Arc<RecordType>, PlanError> {
    let root = Path { parent: None, segment: "$", depth: 0 };
    let mut compiler = Compiler { done: HashMap::new() };
    match compiler.ty(schema, "", &root)? {
        Type::Record(record) => Ok(record),
        other => Err(PlanError::new(&root, format!("a record was expected, not {}", other.kind()))),
    }
}

/// Where the compiler stands; built without allocation, printed only in errors.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: &'a str,
    depth: usize,
}

impl<'a> Path<'a> {
    fn then(&'a self, segment: &'a str) -> Self {
        Self { parent: Some(self), segment, depth: self.depth + 1 }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.segment)
    }
}

struct Compiler {
    /// Finished named types. One that is still being compiled is not in here, so recursion is refused: it
    /// would let a record's depth be chosen by its bytes.
    done: HashMap<String, Arc<RecordType>>,
}

impl Compiler {
    fn ty(&mut self, schema: &Value, namespace: &str, path: &Path<'_>) -> Result<Type, PlanError> {
        if path.depth > MAX_DEPTH {
            return Err(PlanError::new(path, format!("types nest deeper than {MAX_DEPTH}")));
        }
        match schema {
            Value::String(name) => self.named(name, namespace, path),
            Value::Array(branches) => {
                let types = branches.iter().map(|branch| self.ty(branch, namespace, &path.then("union")));
                Ok(Type::Union(types.collect::<Result<_, _>>()?))
            }
            Value::Object(object) => self.object(object, namespace, path),
            _ => Err(PlanError::new(path, "a schema is a string, an array or an object")),
        }
    }

    fn named(&self, name: &str, namespace: &str, path: &Path<'_>) -> Result<Type, PlanError> {
        Ok(match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "long" => Type::Long,
            "string" => Type::String,
            _ => {
                let full_name = full_name(name, namespace);
                let record = self.done.get(&full_name).ok_or_else(|| {
                    PlanError::new(path, format!("type {full_name} is unknown, recursive or not used by this product"))
                })?;
                Type::Record(Arc::clone(record))
            }
        })
    }

    fn object(&mut self, schema: &Map<String, Value>, namespace: &str, path: &Path<'_>) -> Result<Type, PlanError> {
        let kind = schema.get("type").ok_or_else(|| PlanError::new(path, "no type is given"))?;
        let logical = schema.get("logicalType").and_then(Value::as_str);
        let part = |name: &str| schema.get(name).ok_or_else(|| PlanError::new(path, format!("{name} is missing")));
        match (kind.as_str(), logical) {
            (Some("record"), _) => self.record(schema, namespace, path),
            (Some("array"), _) => Ok(Type::Array(Arc::new(self.ty(part("items")?, namespace, &path.then("items"))?))),
            (Some("map"), _) => Ok(Type::Map(Arc::new(self.ty(part("values")?, namespace, &path.then("values"))?))),
            (Some("long"), Some("timestamp-micros")) => Ok(Type::Timestamp),
            (Some("bytes"), Some("decimal")) => decimal(schema, path),
            (_, None) => self.ty(kind, namespace, path),
            (_, Some(logical)) => {
                Err(PlanError::new(path, format!("logical type {logical} is not used by this product")))
            }
        }
    }

    fn record(&mut self, schema: &Map<String, Value>, namespace: &str, path: &Path<'_>) -> Result<Type, PlanError> {
        let name = schema.get("name").and_then(Value::as_str).ok_or_else(|| PlanError::new(path, "name is missing"))?;
        let namespace = schema.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full_name = full_name(name, namespace);
        let namespace = full_name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let fields = schema.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or_else(|| PlanError::new(path, "fields are missing"))?;
        let fields = fields.iter().map(|field| self.field(field, namespace, path)).collect::<Result<_, _>>()?;
        let record = Arc::new(RecordType { full_name: full_name.clone(), fields });
        self.done.insert(full_name, Arc::clone(&record));
        Ok(Type::Record(record))
    }

    fn field(&mut self, field: &Value, namespace: &str, path: &Path<'_>) -> Result<Field, PlanError> {
        let name = field.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| PlanError::new(path, "a field has no name"))?;
        let path = path.then(name);
        let ty = field.get("type").ok_or_else(|| PlanError::new(&path, "no type is given"))?;
        let ty = self.ty(ty, namespace, &path)?;
        Ok(Field { name: name.to_owned(), ty, default: field.get("default").cloned() })
    }
}

fn decimal(schema: &Map<String, Value>, path: &Path<'_>) -> Result<Type, PlanError> {
    let number = |name: &str| schema.get(name).and_then(Value::as_u64);
    let precision = number("precision").and_then(|precision| u32::try_from(precision).ok());
    let scale = number("scale").unwrap_or(0);
    match (precision, u32::try_from(scale)) {
        (Some(precision), Ok(scale)) if precision <= primitive::MAX_PRECISION && scale <= precision => {
            let text = match schema.get(DecimalText::ATTRIBUTE) {
                None => DecimalText::Shortest,
                Some(name) => name
                    .as_str()
                    .and_then(DecimalText::parse)
                    .ok_or_else(|| PlanError::new(path, format!("{} is not known: {name}", DecimalText::ATTRIBUTE)))?,
            };
            Ok(Type::Decimal { precision, scale, text })
        }
        _ => Err(PlanError::new(path, format!("a decimal needs a precision of at most {}", primitive::MAX_PRECISION))),
    }
}

/// Avro's rule: a name with a dot is full, any other is in the enclosing namespace.
pub fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}
