//! [`Plain`]: the formats of Kafka's own serializers.

use bytes::Bytes;

use crate::typed::{BoxError, DeserializeContext, Deserializer, SerializeContext, Serializer};

/// What the serializers that come with Kafka write, byte for byte, chosen by the type:
///
/// | type | as Kafka's | bytes |
/// |---|---|---|
/// | `str`, `String` | `StringSerializer` | UTF-8 |
/// | `[u8]`, `Vec<u8>`, `Bytes` | `ByteArraySerializer`, `BytesSerializer` | as they are |
/// | `i16`, `i32`, `i64` | `ShortSerializer`, `IntegerSerializer`, `LongSerializer` | big endian |
/// | `f32`, `f64` | `FloatSerializer`, `DoubleSerializer` | IEEE 754, big endian |
/// | `bool` | `BooleanSerializer` | `00` or `01` |
/// | [`Void`] | `VoidSerializer` | none: always null |
///
/// Numbers and booleans of another length are refused, as by Kafka. Text that is not UTF-8 is refused, too; Java would
/// put U+FFFD in the place of what it cannot read.
///
/// A `Bytes` that is read shares the memory of the record's batch, which is not recycled before it is dropped: for what is
/// kept for long, take `Vec<u8>`, which is a copy.
///
/// ```
/// use brokerless::typed::{DeserializeContext, Deserializer, Part, Plain, SerializeContext, Serializer};
/// let mut bytes = Vec::new();
/// Plain.serialize(&7i64, &mut SerializeContext::new("t", Part::Value), &mut bytes).unwrap();
/// assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 7]);
/// let value: i64 = Plain.deserialize(&bytes, &DeserializeContext::new("t", Part::Value)).unwrap();
/// assert_eq!(value, 7);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

/// The type of a key or value that is always null. There is no value of it: what can be had is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Void {}

macro_rules! plain_bytes {
    ($($type:ty, $value:ident => $bytes:expr;)*) => {$(
        impl Serializer<$type> for Plain {
            #[inline]
            fn serialize(&self, $value: &$type, _: &mut SerializeContext<'_>, out: &mut Vec<u8>) -> Result<(), BoxError> {
                out.extend_from_slice($bytes);
                Ok(())
            }
        }
    )*};
}

plain_bytes! {
    str, value => value.as_bytes();
    String, value => value.as_bytes();
    [u8], value => value;
    Vec<u8>, value => value;
    Bytes, value => value;
    bool, value => &[u8::from(*value)];
}

impl Deserializer<String> for Plain {
    #[inline]
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<String, BoxError> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

impl Deserializer<Vec<u8>> for Plain {
    #[inline]
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<Vec<u8>, BoxError> {
        Ok(bytes.to_vec())
    }
}

impl Deserializer<Bytes> for Plain {
    #[inline]
    fn deserialize(&self, bytes: &[u8], context: &DeserializeContext<'_>) -> Result<Bytes, BoxError> {
        Ok(context.share(bytes))
    }
}

impl Deserializer<bool> for Plain {
    #[inline]
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<bool, BoxError> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(format!("a boolean is 0 or 1, not {other}").into()),
            _ => Err(wrong_size(bytes, 1)),
        }
    }
}

impl Serializer<Void> for Plain {
    fn serialize(&self, value: &Void, _: &mut SerializeContext<'_>, _: &mut Vec<u8>) -> Result<(), BoxError> {
        match *value {}
    }
}

impl Deserializer<Void> for Plain {
    fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<Void, BoxError> {
        Err(format!("null is expected, not {} bytes", bytes.len()).into())
    }
}

macro_rules! plain_numbers {
    ($($type:ty)*) => {$(
        impl Serializer<$type> for Plain {
            #[inline]
            fn serialize(&self, value: &$type, _: &mut SerializeContext<'_>, out: &mut Vec<u8>) -> Result<(), BoxError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            }
        }

        impl Deserializer<$type> for Plain {
            #[inline]
            fn deserialize(&self, bytes: &[u8], _: &DeserializeContext<'_>) -> Result<$type, BoxError> {
                let exact = bytes.try_into().map_err(|_| wrong_size(bytes, size_of::<$type>()))?;
                Ok(<$type>::from_be_bytes(exact))
            }
        }
    )*};
}

plain_numbers! { i16 i32 i64 f32 f64 }

#[cold]
fn wrong_size(bytes: &[u8], expected: usize) -> BoxError {
    format!("{expected} bytes are expected, not {}", bytes.len()).into()
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;
    use crate::typed::Part;
    use crate::util::testing::cases;

    fn write<T: ?Sized>(value: &T) -> Vec<u8>
    where
        Plain: Serializer<T>,
    {
        let mut out = vec![9];
        Plain.serialize(value, &mut SerializeContext::new("t", Part::Value), &mut out).unwrap();
        assert_eq!(out.remove(0), 9, "it appends");
        out
    }

    fn read<T>(bytes: &[u8]) -> Result<T, String>
    where
        Plain: Deserializer<T>,
    {
        Plain.deserialize(bytes, &DeserializeContext::new("t", Part::Value)).map_err(|error| error.to_string())
    }

    /// Bytes as Kafka 4.3's serializers print them.
    #[test]
    fn bytes_are_those_of_kafkas_serializers() {
        assert_eq!(write(&-2i16), [0xff, 0xfe]);
        assert_eq!(write(&0x0102_0304i32), [1, 2, 3, 4]);
        assert_eq!(write(&i64::MIN), [0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(write(&1.5f32), [0x3f, 0xc0, 0, 0]);
        assert_eq!(write(&-0.1f64), [0xbf, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a]);
        assert_eq!(write("zwölf"), [b'z', b'w', 0xc3, 0xb6, b'l', b'f']);
        assert_eq!((write(&true), write(&false)), (vec![1], vec![0]));
        assert_eq!(write(&[1u8, 2][..]), [1, 2]);
        assert_eq!(write(&Bytes::from_static(b"ab")), *b"ab");
    }

    #[test]
    fn what_has_another_length_or_is_no_text_is_refused() {
        assert_eq!(read::<i32>(&[0; 8]), Err("4 bytes are expected, not 8".into()));
        assert_eq!(read::<f64>(&[]), Err("8 bytes are expected, not 0".into()));
        assert_eq!(read::<bool>(&[2]), Err("a boolean is 0 or 1, not 2".into()));
        assert_eq!(read::<bool>(&[]), Err("1 bytes are expected, not 0".into()));
        assert_eq!(read::<Void>(&[]), Err("null is expected, not 0 bytes".into()));
        assert!(read::<String>(&[0xff]).is_err());
    }

    fn check<T: PartialEq + Debug>(value: T)
    where
        Plain: Serializer<T> + Deserializer<T>,
    {
        assert_eq!(read(&write(&value)).as_ref(), Ok(&value));
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn what_was_written_is_read(
            short: i16, int: i32, long: i64, float in proptest::num::f32::NORMAL, double in proptest::num::f64::NORMAL,
            text: String, bytes: Vec<u8>, yes: bool
        ) {
            check(short);
            check(int);
            check(long);
            check(float);
            check(double);
            check(text);
            check(Bytes::from(bytes.clone()));
            check(bytes);
            check(yes);
        }
    }
}
