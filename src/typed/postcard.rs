//! [`Postcard`]: serde's values in a compact binary format.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::typed::{BoxError, DeserializeContext, Deserializer, SerializeContext, Serializer};

/// [postcard](https://docs.rs/postcard), by serde: small and quick, for programs that share the types. Feature
/// `postcard`.
///
/// The format does not describe itself: a field added or moved is another format. Bytes behind the value are refused.
///
/// ```
/// use brokerless::typed::{DeserializeContext, Deserializer, Part, Postcard, SerializeContext, Serializer};
/// let mut bytes = Vec::new();
/// Postcard.serialize(&(1u8, "two"), &mut SerializeContext::new("t", Part::Value), &mut bytes).unwrap();
/// assert_eq!(bytes, *b"\x01\x03two");
/// let pair: (u8, String) = Postcard.deserialize(&bytes, &DeserializeContext::new("t", Part::Value)).unwrap();
/// assert_eq!(pair, (1, "two".into()));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard;

impl<T: Serialize + ?Sized> Serializer<T> for Postcard {
    #[inline]
    fn serialize(&self, value: &T, _: &mut SerializeContext<'_>, out: &mut Vec<u8>) -> Result<(), BoxError> {
        *out = postcard::to_extend(value, std::mem::take(out))?;
        Ok(())
    }
}

impl<T: DeserializeOwned> Deserializer<T> for Postcard {
    #[inline]
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<T, BoxError> {
        match postcard::take_from_bytes(bytes)? {
            (value, []) => Ok(value),
            (_, rest) => Err(format!("{} bytes follow the value", rest.len()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typed::Part;

    #[test]
    fn what_was_written_is_read_and_nothing_may_follow_it() {
        let mut bytes = Vec::new();
        let value = (7u32, String::from("seven"), Some(-1i64));
        Postcard.serialize(&value, &mut SerializeContext::new("t", Part::Value), &mut bytes).unwrap();
        assert_eq!(bytes, [7, 5, b's', b'e', b'v', b'e', b'n', 1, 1]);
        let context = DeserializeContext::new("t", Part::Value);
        assert_eq!(
            Deserializer::<(u32, String, Option<i64>)>::deserialize(&Postcard, &bytes, &context).unwrap(),
            value
        );
        bytes.push(0);
        let read: Result<(u32, String, Option<i64>), _> = Postcard.deserialize(&bytes, &context);
        assert_eq!(read.unwrap_err().to_string(), "1 bytes follow the value");
    }
}
