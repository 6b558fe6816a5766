//! [`Json`]: serde's values as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::typed::{BoxError, DeserializeContext, Deserializer, SerializeContext, Serializer};

/// JSON, by serde: for everything that implements `Serialize` and `DeserializeOwned`. Feature `json`, on by default.
///
/// An absent value is Kafka's null, not the text `null`.
///
/// ```
/// use brokerless::typed::{DeserializeContext, Deserializer, Json, Part, SerializeContext, Serializer};
/// let mut bytes = Vec::new();
/// Json.serialize(&(1, "two"), &mut SerializeContext::new("t", Part::Value), &mut bytes).unwrap();
/// assert_eq!(bytes, br#"[1,"two"]"#);
/// let pair: (i32, String) = Json.deserialize(&bytes, &DeserializeContext::new("t", Part::Value)).unwrap();
/// assert_eq!(pair, (1, "two".into()));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + ?Sized> Serializer<T> for Json {
    #[inline]
    fn serialize(&self, value: &T, _: &mut SerializeContext<'_>, out: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(serde_json::to_writer(out, value)?)
    }
}

impl<T: DeserializeOwned> Deserializer<T> for Json {
    #[inline]
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
