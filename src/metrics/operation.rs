//! The operations that are told apart.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operation of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// A value was put, by itself or for its proxy.
    Put,
    /// Several values were put.
    PutBatch,
    /// An object was got.
    Get,
    /// Several objects were got.
    GetBatch,
    /// An object was taken.
    Take,
    /// Several objects were taken.
    TakeBatch,
    /// An object was evicted.
    Evict,
    /// Several objects were evicted.
    EvictBatch,
    /// It was asked whether an object is there.
    Exists,
    /// It was asked whether several objects are there.
    ExistsBatch,
    /// A proxy was resolved, whatever that does. Using one that is resolved already is no operation.
    Resolve,
    /// A promised value was waited for.
    Wait,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 12] = [
        Self::Put,
        Self::PutBatch,
        Self::Get,
        Self::GetBatch,
        Self::Take,
        Self::TakeBatch,
        Self::Evict,
        Self::EvictBatch,
        Self::Exists,
        Self::ExistsBatch,
        Self::Resolve,
        Self::Wait,
    ];

    /// Its name, as in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::PutBatch => "put_batch",
            Self::Get => "get",
            Self::GetBatch => "get_batch",
            Self::Take => "take",
            Self::TakeBatch => "take_batch",
            Self::Evict => "evict",
            Self::EvictBatch => "evict_batch",
            Self::Exists => "exists",
            Self::ExistsBatch => "exists_batch",
            Self::Resolve => "resolve",
            Self::Wait => "wait",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_stands_at_its_number() {
        for (at, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, at);
            assert_eq!(serde_json::to_string(&operation).unwrap(), format!("\"{operation}\""));
        }
    }
}
