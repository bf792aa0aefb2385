//! Several connectors as one: each object goes to the first whose policy takes it and that has room.

mod lasting;
mod members;
mod promises;
mod variables;

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use crate::connector::config::{ConnectorConfig, MemberConfig, MultiConfig};
use crate::connector::policy::{Policy, Tags};
use crate::connector::{
    Block, BlockWriter, Connector, Deferrable, Fill, FillBatch, Lasting, Loaning, Variables,
};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::sync::Ordering;

use members::{Member, Members, Part};

/// Several connectors as one: each object goes to the member of the highest priority whose [`Policy`] takes it; when that
/// one is full, to the next. A key tells its member, so everything else finds the object where it went.
///
/// Members are opened when they are first needed: to put into, or to look for a key whose member is not known. In the
/// second case nothing is created, so a process that only reads makes no regions. A member that can not be opened is an
/// error only for what needs it.
///
/// Sizes are judged by what is written, not by what was guessed: an object that turns out to be another member's is taken
/// back and written there. A promise or variable has no size yet, so only tags choose its member; what is made
/// [owned](crate::Store::own) has one, and goes to a member with variables that takes it and has room. There it stays: an update
/// that its member has no room for is refused, and the old value stays. Promises, loans, leases,
/// bonds and variables are those of the members that have them: a new one goes to the first that fits and has it, an old one
/// is found by its key. A variable's name is looked up in that first member only, full or not, so that everybody who asks with
/// the same tags finds the same one. A batch goes to one member where that is the first choice for each of its objects, and object
/// by object else.
///
/// ```
/// use inplace::RegionOptions;
/// use inplace::connector::{Connector, LocalConnector, MultiConnector, Policy, ShmConnector};
///
/// let small = ShmConnector::new(RegionOptions::new().capacity(1 << 20).anonymous()?);
/// let all = MultiConnector::new()
///     .with(small, Policy { max_size: Some(1000), priority: 1, ..Policy::default() })
///     .with(LocalConnector::new(), Policy::default());
/// let keys = [all.put(b"small")?, all.put(&[7; 2000])?];
/// assert_ne!(keys[0].space(), keys[1].space());
/// assert_eq!(all.get(keys[1])?.unwrap().len(), 2000);
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct MultiConnector {
    members: Arc<Members>,
    tags: Tags,
}

/// The members that may take an object, the preferred first.
struct Suitable<'a> {
    members: Vec<&'a Member>,
    /// What they were chosen for: others may take it that do not have that.
    part: Option<Part>,
}

impl<'a> From<Vec<&'a Member>> for Suitable<'a> {
    fn from(members: Vec<&'a Member>) -> Self {
        Self { members, part: None }
    }
}

/// What an attempt to put into a member came to.
enum Put<T> {
    Done(T),
    /// The object has another size than was guessed, which its policy does not take.
    Resized(u64),
    /// It has no room for it, or can not do this.
    Full(Error),
}

impl MultiConnector {
    /// No member yet: add some [`with`](Self::with) their policies.
    #[must_use]
    pub fn new() -> Self {
        Self { members: Arc::new(Members::new([])), tags: Tags::default() }
    }

    /// One member more.
    ///
    /// # Panics
    /// When handles with other [`tags`](Self::tagged) exist already.
    #[must_use]
    pub fn with(mut self, connector: impl Connector + 'static, policy: Policy) -> Self {
        let members =
            Arc::get_mut(&mut self.members).expect("members are added before handles are made");
        let member =
            Member::new(MemberConfig { connector: connector.config(), policy }, &members.host);
        let _first = member.opened.set(Arc::new(connector));
        members.all.push(member);
        self
    }

    /// The members of that configuration, none of them opened yet.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] or [`Error::InvalidName`].
    pub fn connect(config: &MultiConfig) -> Result<Self> {
        config.validate()?;
        let members = Arc::new(Members::new(config.members.iter().cloned()));
        Ok(Self { members, tags: Tags::default() })
    }

    /// The same connectors, for objects with these tags: whatever is put with the handle has them.
    ///
    /// ```
    /// use inplace::connector::{Connector, LocalConnector, MultiConnector, Policy, Tags};
    ///
    /// let kept = Policy { subset_tags: vec!["kept".into()], ..Policy::default() };
    /// let all = MultiConnector::new()
    ///     .with(LocalConnector::new(), Policy { priority: 1, ..Policy::default() })
    ///     .with(LocalConnector::new(), kept);
    /// let key = all.tagged(Tags::subset(["kept"])).put(b"bytes")?;
    /// assert_ne!(key.space(), all.put(b"bytes")?.space());
    /// assert!(all.exists(key)?);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    #[must_use]
    pub fn tagged(&self, tags: Tags) -> Self {
        Self { members: self.members.clone(), tags }
    }

    /// The members that may take an object with this handle's tags, the preferred first.
    fn suitable(&self) -> Vec<&Member> {
        let mut suitable: Vec<_> = self
            .members
            .all
            .iter()
            .filter(|member| member.is_for_host && member.policy.takes_tags(&self.tags))
            .collect();
        suitable.sort_by_key(|member| Reverse(member.policy.priority));
        suitable
    }

    /// Those of them that have a part. Of a program's own that can not be opened that is not known: it is asked, and says why.
    fn suitable_for(&self, part: Part) -> Suitable<'_> {
        let mut members = self.suitable();
        members.retain(|member| member.has(part, &self.members).unwrap_or(true));
        Suitable { members, part: Some(part) }
    }

    /// Puts something into the first of these members that takes its size and has room. `size` is a guess.
    fn put_somewhere<T>(
        &self,
        suitable: &Suitable<'_>,
        size: u64,
        mut put: impl FnMut(&dyn Connector, &Policy) -> Result<Put<T>>,
    ) -> Result<T> {
        self.members.check_open()?;
        let mut size = size;
        let mut full = None;
        let mut at = 0;
        // Once for a wrong guess; an encoding that has another size each time has no right one.
        let mut guesses = 2;
        while let Some(member) = suitable.members.get(at) {
            at += 1;
            if !member.policy.takes_size(size) {
                continue;
            }
            match put(&**self.members.open(member)?, &member.policy)? {
                Put::Done(done) => return Ok(done),
                Put::Full(error) => full = first_to_tell(full, error),
                Put::Resized(actual) if guesses > 0 => {
                    (size, at, full) = (actual, 0, None);
                    guesses -= 1;
                }
                Put::Resized(_) => {
                    return Err(Error::Codec {
                        codec: "multi",
                        what: "the object has another size each time it is written".into(),
                    });
                }
            }
        }
        let takes = |member: &&Member| member.policy.takes_size(size);
        Err(full.unwrap_or_else(|| match suitable.part {
            Some(part) if self.suitable().iter().any(takes) => part.missing(),
            _ => self.no_member(Some(size), Part::Terms),
        }))
    }

    fn no_member(&self, size: Option<u64>, part: Part) -> Error {
        let wanted = match size {
            Some(size) => format!("an object of {size} bytes"),
            None if part == Part::Variables => "a variable".into(),
            None => "a promise".into(),
        };
        let (members, host) = (self.members.all.len(), self.members.host.clone());
        Error::NoMember { wanted: format!("{wanted} with {:?}", self.tags), members, host }
    }

    /// What the first suitable member makes that has the part, takes the size if there is one, and has room.
    fn make_somewhere<T>(
        &self,
        part: Part,
        size: Option<u64>,
        mut make: impl FnMut(&dyn Connector) -> Result<T>,
    ) -> Result<T> {
        self.members.check_open()?;
        let suitable = self.suitable();
        let mut failure = None;
        let takes = |member: &&&Member| size.is_none_or(|size| member.policy.takes_size(size));
        for member in suitable.iter().filter(takes) {
            let opened = match member.has(part, &self.members) {
                Ok(false) => continue,
                Ok(true) => self.members.open(member),
                Err(error) => Err(error),
            };
            // A member that can not be opened spares nobody the next.
            match opened.map(|connector| put_or_full(make(&**connector))) {
                Ok(Ok(Put::Done(made))) => return Ok(made),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(Put::Full(error))) | Err(error) => failure = first_to_tell(failure, error),
                Ok(Ok(Put::Resized(_))) => {}
            }
        }
        Err(failure.unwrap_or_else(|| match suitable.iter().any(|member| takes(&member)) {
            true => part.missing(),
            false => self.no_member(size, part),
        }))
    }

    /// An answer for each key, in order, asked of each member at once. Nothing is asked before every member is known.
    fn by_member<T: Clone + Default>(
        &self,
        keys: &[Key],
        ask: impl Fn(&dyn Connector, &[Key]) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let mut answers = vec![T::default(); keys.len()];
        for (connector, positions) in self.members.grouped(keys)? {
            let theirs: Vec<Key> = positions.iter().map(|at| keys[*at]).collect();
            for (at, answer) in positions.into_iter().zip(ask(&**connector, &theirs)?) {
                answers[at] = answer;
            }
        }
        Ok(answers)
    }

    /// Puts what `fill` writes, each time by `put`. `size` is a guess.
    fn fill_somewhere(
        &self,
        (suitable, size): (&Suitable<'_>, usize),
        fill: &mut Fill<'_>,
        put: &PutInto<'_>,
    ) -> Result<Key> {
        self.members.check_open()?;
        let mut size = size;
        if suitable.members.iter().all(|member| !member.policy.takes_size(size as u64)) {
            // A guess that is nobody's says nothing: the size is counted.
            let mut counter = BlockWriter::new(&mut []);
            fill(&mut counter)?;
            size = counter.position();
        }
        self.put_somewhere(suitable, size as u64, |connector, policy| {
            judged(policy, |judge| {
                put(connector, size, &mut |out| {
                    fill(out)?;
                    judge(out)
                })
            })
        })
    }
}

impl Default for MultiConnector {
    fn default() -> Self {
        Self::new()
    }
}

/// Sorts errors that another member may be spared from the others.
fn put_or_full<T>(outcome: Result<T>) -> Result<Put<T>> {
    match outcome {
        Ok(done) => Ok(Put::Done(done)),
        Err(
            error @ (Error::OutOfSpace { .. }
            | Error::OutOfSlots { .. }
            | Error::TooLarge { .. }
            | Error::Unsupported { .. }),
        ) => Ok(Put::Full(error)),
        Err(error) => Err(error),
    }
}

/// Of members that were asked, the first one's error; that one can not do it at all is the last to be told.
fn first_to_tell(first: Option<Error>, error: Error) -> Option<Error> {
    match first {
        None | Some(Error::Unsupported { .. }) => Some(error),
        told => told,
    }
}

/// Puts what a `fill` writes, of about that size, into a connector.
type PutInto<'a> = dyn Fn(&dyn Connector, usize, &mut Fill<'_>) -> Result<Key> + 'a;

/// Looks at what a `fill` has written.
type Judge<'a> = dyn FnMut(&BlockWriter<'_>) -> Result<()> + 'a;

/// Lets a `fill` fail when it writes what the policy does not take, and says how much that was.
fn judged<T>(policy: &Policy, put: impl FnOnce(&mut Judge<'_>) -> Result<T>) -> Result<Put<T>> {
    let mut misjudged = None;
    let outcome = put(&mut |out| {
        let size = out.position() as u64;
        if policy.takes_size(size) {
            return Ok(());
        }
        misjudged = Some(size);
        // The error makes the connector take back the block.
        Err(Error::Codec { codec: "multi", what: "an object for another member".into() })
    });
    match (outcome, misjudged) {
        (Err(_), Some(size)) => Ok(Put::Resized(size)),
        (outcome, _) => put_or_full(outcome),
    }
}

impl Connector for MultiConnector {
    fn put_with(&self, size: usize, fingerprint: Fingerprint, fill: &mut Fill<'_>) -> Result<Key> {
        self.fill_somewhere((&self.suitable().into(), size), fill, &|connector, size, fill| {
            connector.put_with(size, fingerprint, fill)
        })
    }

    fn put(&self, bytes: &[u8]) -> Result<Key> {
        let put = |connector: &dyn Connector, _: &Policy| put_or_full(connector.put(bytes));
        self.put_somewhere(&self.suitable().into(), bytes.len() as u64, put)
    }

    fn put_batch_with(
        &self,
        sizes: &[usize],
        fingerprint: Fingerprint,
        fill: &mut FillBatch<'_>,
    ) -> Result<Vec<Key>> {
        self.members.check_open()?;
        let suitable = self.suitable();
        let first_for = |size: &usize| {
            suitable.iter().position(|member| member.policy.takes_size(*size as u64))
        };
        let mut choices = sizes.iter().map(first_for);
        let together =
            choices.next().flatten().filter(|first| choices.all(|at| at == Some(*first)));
        if let Some(member) = together.map(|at| suitable[at]) {
            let connector = self.members.open(member)?;
            let outcome = judged(&member.policy, |judge| {
                connector.put_batch_with(sizes, fingerprint, &mut |at, out| {
                    fill(at, out)?;
                    judge(out)
                })
            });
            if let Put::Done(keys) = outcome? {
                return Ok(keys);
            }
        }
        let mut keys = Vec::with_capacity(sizes.len());
        for (at, size) in sizes.iter().enumerate() {
            match self.put_with(*size, fingerprint, &mut |out| fill(at, out)) {
                Ok(key) => keys.push(key),
                Err(error) => {
                    // The first error is the one to hear of.
                    let _ = self.evict_batch(&keys);
                    return Err(error);
                }
            }
        }
        Ok(keys)
    }

    fn get(&self, key: Key) -> Result<Option<Block>> {
        self.members.of(key)?.get(key)
    }

    fn take(&self, key: Key) -> Result<Option<Block>> {
        self.members.of(key)?.take(key)
    }

    fn exists(&self, key: Key) -> Result<bool> {
        self.members.of(key)?.exists(key)
    }

    fn evict(&self, key: Key) -> Result<bool> {
        self.members.of(key)?.evict(key)
    }

    fn get_batch(&self, keys: &[Key]) -> Result<Vec<Option<Block>>> {
        self.by_member(keys, |connector, theirs| connector.get_batch(theirs))
    }

    fn take_batch(&self, keys: &[Key]) -> Result<Vec<Option<Block>>> {
        self.by_member(keys, |connector, theirs| connector.take_batch(theirs))
    }

    fn exists_batch(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.by_member(keys, |connector, theirs| connector.exists_batch(theirs))
    }

    fn evict_batch(&self, keys: &[Key]) -> Result<usize> {
        let mut evicted = 0;
        let mut outcome = Ok(());
        let mut known = Vec::with_capacity(keys.len());
        for key in keys {
            match self.members.of(*key) {
                Ok(_) => known.push(*key),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        for (connector, positions) in self.members.grouped(&known)? {
            let theirs: Vec<Key> = positions.iter().map(|at| known[*at]).collect();
            match connector.evict_batch(&theirs) {
                Ok(count) => evicted += count,
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome.map(|()| evicted)
    }

    /// Closes every member that was opened.
    fn close(&self) -> Result<()> {
        self.members.closed.store(true, Ordering::Relaxed);
        let mut outcome = Ok(());
        for connector in self.members.opened() {
            outcome = outcome.and(connector.close());
        }
        outcome
    }

    fn config(&self) -> ConnectorConfig {
        ConnectorConfig::multi(self.members.all.iter().map(|member| MemberConfig {
            policy: member.policy.clone(),
            connector: member.connector.clone(),
        }))
    }

    fn register_type(&self, fingerprint: Fingerprint, name: &str) {
        self.members.register_type(fingerprint, name);
    }

    fn describe(&self, fingerprint: Fingerprint) -> Option<String> {
        self.members.opened().find_map(|connector| connector.describe(fingerprint))
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        self.members.have(Part::Promises).then_some(self)
    }

    fn loaning(&self) -> Option<&dyn Loaning> {
        self.members.have(Part::Loans).then_some(self)
    }

    fn lasting(&self) -> Option<&dyn Lasting> {
        self.members.have(Part::Terms).then_some(self)
    }

    fn variables(&self) -> Option<&dyn Variables> {
        self.members.have(Part::Variables).then_some(self)
    }
}

impl fmt::Debug for MultiConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.members.all.iter().map(|member| (&member.connector, &member.policy));
        f.debug_struct("MultiConnector")
            .field("members", &members.collect::<Vec<_>>())
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}
