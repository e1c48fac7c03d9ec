//! Reading objects only from objects, and words only from strings.
//!
//! What serde derives would also take a list for an object, its fields by position, and `{"DENY": null}` for `"DENY"`:
//! a policy with a bracket too many would mean something, and an editor with the schema would call it wrong.

/// Reads these types, whose derived reading is their own (`#[serde(remote = "Self")]`), from objects only.
macro_rules! objects {
    ($($name:ident),* $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Object;

                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        $name::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    }
                }

                from.deserialize_map(Object)
            }
        }
    )*};
}

/// Reads a type from strings that are each one of its variants.
macro_rules! words {
    ($name:ident: $($word:literal => $variant:ident),*) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Word;

                impl serde::de::Visitor<'_> for Word {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        let words = [$(concat!("`", $word, "`")),*];
                        write!(f, "one of {}", words.join(", "))
                    }

                    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<$name, E> {
                        match word {
                            $($word => Ok($name::$variant),)*
                            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                        }
                    }
                }

                from.deserialize_str(Word)
            }
        }
    };
}

pub(crate) use {objects, words};
