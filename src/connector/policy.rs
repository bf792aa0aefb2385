//! Which of several connectors takes an object.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a member of a [`MultiConnector`](crate::connector::MultiConnector) is for. The default takes everything that has
/// no tags.
///
/// The member of the highest priority that fits takes an object; of equal ones the first.
///
/// ```
/// use inplace::connector::{Policy, Tags};
///
/// let policy = Policy { max_size: Some(1000), hosts: vec!["gpu-*".into()], ..Policy::default() };
/// assert!(policy.fits(1000, &Tags::default()) && !policy.fits(1001, &Tags::default()));
/// assert!(policy.is_for_host("gpu-17") && !policy.is_for_host("login"));
///
/// let policy = Policy { subset_tags: vec!["fast".into(), "shared".into()], ..Policy::default() };
/// assert!(policy.fits(1, &Tags::subset(["fast"])) && !policy.fits(1, &Tags::subset(["durable"])));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Members of higher priority are asked first.
    pub priority: i32,
    /// Names of hosts it is used on, with `*` for any characters and `?` for one; none is every host. Elsewhere it is
    /// neither opened nor asked.
    pub hosts: Vec<String>,
    /// Objects of fewer bytes are not for it.
    pub min_size: Option<u64>,
    /// Objects of more bytes are not for it.
    pub max_size: Option<u64>,
    /// An object's subset tags all have to be among these.
    pub subset_tags: Vec<String>,
    /// These all have to be among an object's superset tags.
    pub superset_tags: Vec<String>,
}

/// What is asked of the member that takes an object: see
/// [`MultiConnector::tagged`](crate::connector::MultiConnector::tagged).
///
/// With [`subset`](Self::subset) the object asks for something, and a member has to offer all of it. With
/// [`superset`](Self::superset) the member asks for something, and the object has to offer all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    subset: Vec<String>,
    superset: Vec<String>,
}

impl Tags {
    /// Tags that all have to be among a policy's `subset_tags`.
    #[must_use]
    pub fn subset<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self { subset: tags.into_iter().map(Into::into).collect(), superset: Vec::new() }
    }

    /// Tags among which all of a policy's `superset_tags` have to be.
    #[must_use]
    pub fn superset<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self { superset: tags.into_iter().map(Into::into).collect(), subset: Vec::new() }
    }

    /// The tags of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.subset.extend(other.subset);
        self.superset.extend(other.superset);
        self
    }
}

impl Policy {
    /// Whether it takes an object of so many bytes with those tags.
    #[must_use]
    pub fn fits(&self, size: u64, tags: &Tags) -> bool {
        self.takes_size(size) && self.takes_tags(tags)
    }

    pub(super) fn takes_size(&self, size: u64) -> bool {
        self.min_size.is_none_or(|least| size >= least)
            && self.max_size.is_none_or(|most| size <= most)
    }

    pub(super) fn takes_tags(&self, tags: &Tags) -> bool {
        tags.subset.iter().all(|tag| self.subset_tags.contains(tag))
            && self.superset_tags.iter().all(|tag| tags.superset.contains(tag))
    }

    /// Whether it is used on a host of that name.
    #[must_use]
    pub fn is_for_host(&self, host: &str) -> bool {
        self.hosts.is_empty()
            || self.hosts.iter().any(|pattern| matches(pattern.as_bytes(), host.as_bytes()))
    }

    /// Refuses values that cannot be meant.
    pub(super) fn validate(&self) -> Result<()> {
        if let (Some(least), Some(most)) = (self.min_size, self.max_size)
            && least > most
        {
            return Err(Error::InvalidConfig {
                what: "policy.min_size".into(),
                found: least.to_string(),
                expected: format!("at most max_size, which is {most}"),
            });
        }
        let named = [
            ("policy.hosts", &self.hosts),
            ("policy.subset_tags", &self.subset_tags),
            ("policy.superset_tags", &self.superset_tags),
        ];
        match named.into_iter().find(|(_, names)| names.iter().any(String::is_empty)) {
            Some((what, _)) => Err(Error::InvalidConfig {
                what: what.into(),
                found: "an empty string".into(),
                expected: "names with at least one character".into(),
            }),
            None => Ok(()),
        }
    }
}

/// Whether a whole name is what a pattern says. Time is bounded by the product of both lengths: after a mismatch only the
/// last `*` takes one more character.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((place, from)) = star else { return false };
                star = Some((place, from + 1));
                (at, seen) = (place + 1, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, is_match) in [
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("node-??", "node-07", true),
            ("node-??", "node-7", false),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("a*b*c", "a--b--b-c", true),
            ("a*b*c", "a--b--b-d", false),
            ("abc", "abcd", false),
            ("*abc", "ababc", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is_match, "{pattern} {name}");
        }
        let hostile = "*a".repeat(200) + "b";
        assert!(!matches(hostile.as_bytes(), "a".repeat(2000).as_bytes()));
    }

    #[test]
    fn an_object_asks_with_subset_tags_and_a_member_with_superset_tags() {
        let policy = Policy {
            subset_tags: vec!["a".into(), "b".into()],
            superset_tags: vec!["x".into()],
            ..Policy::default()
        };
        let offers = Tags::superset(["x", "y"]);
        assert!(policy.takes_tags(&offers));
        assert!(policy.takes_tags(&offers.clone().and(Tags::subset(["a"]))));
        assert!(policy.takes_tags(&offers.clone().and(Tags::subset(["a", "b"]))));
        assert!(!policy.takes_tags(&offers.and(Tags::subset(["a", "c"]))));
        assert!(!policy.takes_tags(&Tags::default()) && !policy.takes_tags(&Tags::superset(["y"])));
        assert!(Policy::default().takes_tags(&Tags::superset(["anything"])));
        assert!(!Policy::default().takes_tags(&Tags::subset(["anything"])));
    }

    #[test]
    fn policies_that_take_nothing_and_empty_names_are_refused() {
        let nothing = Policy { min_size: Some(2), max_size: Some(1), ..Policy::default() };
        assert!(nothing.validate().unwrap_err().to_string().contains("policy.min_size"));
        let nameless = Policy { hosts: vec![String::new()], ..Policy::default() };
        assert!(nameless.validate().unwrap_err().to_string().contains("policy.hosts"));
        Policy { min_size: Some(1), max_size: Some(1), ..Policy::default() }.validate().unwrap();
    }
}
