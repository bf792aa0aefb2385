//! Everything that can go wrong, each with what was expected, what was found and what to do.

use crate::fingerprint::Fingerprint;
use crate::key::Key;

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: what was expected, what was found, and what to do about it.
///
/// ```
/// use inplace::{Error, Region};
///
/// let error = Region::open("surely/not/a/region").unwrap_err();
/// assert!(matches!(error, Error::InvalidName { .. }));
/// assert!(error.to_string().contains('/'));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A region, store or object name that cannot be used.
    #[error("invalid {what} name {name:?}: {reason}")]
    InvalidName {
        /// What was to be named: `region`, `store`, `object`.
        what: &'static str,
        /// The name as given, shortened when very long.
        name: String,
        /// Why it is refused, and what is allowed.
        reason: String,
    },
    /// A configuration value out of its range.
    #[error("invalid configuration: {what} is {found}; expected {expected}")]
    InvalidConfig {
        /// The option.
        what: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// No region of that name exists.
    #[error(
        "no region named {name:?}: /dev/shm has no file inplace.{name}; create it first, or check the name"
    )]
    RegionNotFound {
        /// The region's name.
        name: String,
    },
    /// No directory of objects is there.
    #[error(
        "no objects are in {directory:?}: no FileConnector of this host made it; check the path, and that this host sees the \
         file system it is on"
    )]
    DirectoryNotFound {
        /// The directory's path.
        directory: String,
    },
    /// A region of that name exists already and a new one was demanded.
    #[error("region {name:?} exists already; open it, choose another name, or destroy it first")]
    RegionExists {
        /// The region's name.
        name: String,
    },
    /// The file of that name is not a region.
    #[error(
        "{name:?} is not an Inplace region: {found}; remove the file if it is not needed, or choose another name"
    )]
    NotARegion {
        /// The region's name.
        name: String,
        /// What the file holds instead.
        found: String,
    },
    /// The region was created by a build with another layout, or with another geometry than demanded.
    #[error(
        "region {name:?} has another {what}: expected {expected}, found {found}; use the same version of Inplace and the \
         same configuration in every process, or destroy the region and create it anew"
    )]
    LayoutMismatch {
        /// The region's name.
        name: String,
        /// What differs: `layout version`, `layout fingerprint`, `capacity` …
        what: &'static str,
        /// What this process expected.
        expected: String,
        /// What the region has.
        found: String,
    },
    /// The system refused access to the region's file.
    #[error("region {name:?} may not be opened: {reason}")]
    AccessDenied {
        /// The region's name.
        name: String,
        /// Owner or mode found and expected, and what to do.
        reason: String,
    },
    /// There is not enough room for the object: in shared memory, on a disk, in a server.
    #[error(
        "out of space: {requested} bytes requested, {in_use} of {capacity} bytes in use; {remedy}"
    )]
    OutOfSpace {
        /// Bytes that were asked for.
        requested: u64,
        /// Bytes that hold objects; of a disk, all that are in use.
        in_use: u64,
        /// All bytes of the data area, the disk or the server; 0 where they are not known.
        capacity: u64,
        /// What to do.
        remedy: String,
    },
    /// The object is larger than the connector takes at all.
    #[error(
        "an object of {len} bytes is too large for {what}, which takes {most} bytes at most; put it elsewhere, or in parts"
    )]
    TooLarge {
        /// The object's bytes.
        len: u64,
        /// The most it may have.
        most: u64,
        /// What takes no more.
        what: String,
    },
    /// No connector of several takes the object.
    #[error(
        "no connector takes {wanted}: of {members} none has a policy that fits on host {host:?}; add a member whose policy does"
    )]
    NoMember {
        /// The object: its size and tags.
        wanted: String,
        /// How many connectors there are.
        members: usize,
        /// This host's name.
        host: String,
    },
    /// Every slot of the index is in use.
    #[error(
        "all {max_objects} object slots are in use; evict objects, or create the region with a larger `max_objects`"
    )]
    OutOfSlots {
        /// The region's limit.
        max_objects: u32,
    },
    /// Every participant entry is in use by a living process.
    #[error(
        "all {max_participants} participant entries are held by living processes; let one leave, or create the region \
         with a larger `max_participants`"
    )]
    OutOfParticipants {
        /// The region's limit.
        max_participants: u32,
    },
    /// A resource limit of the process forbids it.
    #[error(
        "{limit} is {found} bytes but {needed} are needed for {what}; raise it (ulimit) or choose a smaller capacity"
    )]
    LimitTooLow {
        /// The limit's name.
        limit: &'static str,
        /// Its value in bytes.
        found: u64,
        /// The bytes needed.
        needed: u64,
        /// What for.
        what: &'static str,
    },
    /// One process holds too many views of one object.
    #[error(
        "this process holds 32768 views of {key}; drop some, or clone one of them instead of getting another"
    )]
    TooManyViews {
        /// The object's key.
        key: Key,
    },
    /// The object is not there: it was evicted, or never existed.
    #[error(
        "{key} is gone: it was evicted, its lease or its process ended, or it never existed in this region"
    )]
    NotFound {
        /// The key.
        key: Key,
    },
    /// The key belongs to another region.
    #[error(
        "{key} belongs to region {expected:016x}, but this is region {found:016x} ({name:?}); open the store the key came from"
    )]
    WrongRegion {
        /// The key.
        key: Key,
        /// The region the key names.
        expected: u64,
        /// The region that was asked.
        found: u64,
        /// The name of the region that was asked.
        name: String,
    },
    /// What lies where the object should is not one.
    #[error("{key} can not be read: {place} {found}; evict the object, and put it anew")]
    Damaged {
        /// The key.
        key: Key,
        /// Where it should be.
        place: String,
        /// What is wrong with it.
        found: String,
    },
    /// A server cannot be reached, or does not do what it is asked.
    #[error(
        "{server} can not be used: {reason}; check that it runs, that its address is right, and that it lets this process in"
    )]
    Server {
        /// The server, and its address.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// The object holds another type.
    #[error("{key} holds {found}, not {expected}; resolve it as the type it was put as")]
    TypeMismatch {
        /// The key.
        key: Key,
        /// The type asked for.
        expected: String,
        /// The type it was put as.
        found: String,
    },
    /// A promised object already has its value.
    #[error(
        "{key} has its value already: objects are written once; use a cell for a value that changes"
    )]
    AlreadySet {
        /// The key.
        key: Key,
    },
    /// A queue has no room for another message; or a topic holds its publishers back, for subscribers that have as many to
    /// receive as it keeps.
    #[error(
        "{key} is full: it holds {capacity} messages that nobody has acknowledged, or that a subscriber has not received; wait for \
         room, receive (and acknowledge) more, or make it with a larger capacity"
    )]
    Full {
        /// The key of the queue or topic.
        key: Key,
        /// How many messages it holds.
        capacity: u32,
    },
    /// A worker pool has no workers, and starts no more.
    #[error("the worker pool has no workers: {reason}; make another when that is mended")]
    NoWorkers {
        /// Why.
        reason: String,
    },
    /// A topic holds its publishers back for as many subscribers as it can.
    #[error(
        "{key} has {most} subscribers, which is as many as it waits for: drop one, or make the topic with a larger `hold_back`"
    )]
    TooManySubscribers {
        /// The topic's key.
        key: Key,
        /// How many there can be.
        most: u32,
    },
    /// A variable is not at the version it was expected to be at.
    #[error(
        "{key} is at version {found}, not {expected}: it was set meanwhile; get it again and decide anew"
    )]
    Conflict {
        /// The variable's key.
        key: Key,
        /// The version expected; 0 for none.
        expected: u64,
        /// The version found; 0 for none.
        found: u64,
    },
    /// Whoever promised the object died, or gave it up without a word.
    #[error("{key} will never have a value: its producer died, or gave it up")]
    Broken {
        /// The key.
        key: Key,
    },
    /// Whoever promised the object failed, and said why.
    #[error("{key} will never have a value: its producer failed: {message}")]
    Failed {
        /// The key.
        key: Key,
        /// What the producer said.
        message: String,
    },
    /// Whoever promised the object cancelled the promise.
    #[error("{key} will never have a value: its producer cancelled the promise, or dropped it")]
    Cancelled {
        /// The key.
        key: Key,
    },
    /// The value did not come in time.
    #[error("{key} has no new value after {waited:?}")]
    TimedOut {
        /// The key.
        key: Key,
        /// How long was waited.
        waited: std::time::Duration,
    },
    /// A token is used by a process that does not own it, such as a forked child.
    #[error(
        "this {token} is not this process's own: it is another's, everybody's, or on its way to whoever adopts it; a fork does not \
         inherit it; hand it over explicitly"
    )]
    NotOwner {
        /// The kind of token: `loan`, `promise`, `object`.
        token: &'static str,
    },
    /// An object that is to get an owner goes with this process already.
    #[error(
        "{key} has an owner in this process already, or a lifetime that binds it to this process; use that one, or share \
         it first"
    )]
    AlreadyOwned {
        /// The object's key.
        key: Key,
    },
    /// A lifetime and a proxy that evicts its object when it is resolved: one of them would come too late.
    #[error(
        "{key} is to be evicted by a lifetime and by a proxy that evicts when it is resolved; choose one: attach a plain \
         proxy, or do not attach this one"
    )]
    EvictedOnResolve {
        /// The object's key.
        key: Key,
    },
    /// A lease that is over holds nothing any more.
    #[error(
        "this lease ended {over:?} ago, and what it held is gone; make a new one, and extend it earlier"
    )]
    LeaseOver {
        /// How long ago.
        over: std::time::Duration,
    },
    /// A token was used before: of several who adopt an object or a promise, one has it.
    #[error(
        "the token of {key} is used up: another adopted the object or promise, or it was offered anew; ask its owner for another \
         token"
    )]
    AlreadyAdopted {
        /// The object's key.
        key: Key,
    },
    /// This process is not attached: it was cloned without the fork handlers, or the table was full at the fork.
    #[error(
        "this process is severed from the region: it was created by a raw clone, or no participant entry was left at its \
         fork; open the region anew"
    )]
    Severed,
    /// The handle was closed.
    #[error("{what} is closed")]
    Closed {
        /// What was closed.
        what: String,
    },
    /// Another process holds what is needed and does not let go of it.
    #[error(
        "{what} is held by another process that does not go on (is it stopped?); continue or end that process"
    )]
    Busy {
        /// What is held.
        what: String,
    },
    /// Shared memory holds something no correct participant writes.
    #[error("region is corrupt: {what}; run `check()`, end its processes and destroy it")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// An object could not be encoded, or its bytes are not what its type demands.
    #[error("{codec}: {what}")]
    Codec {
        /// The codec.
        codec: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The configuration text could not be read.
    #[error("cannot read the configuration: {0}")]
    ConfigText(String),
    /// A store of that name is registered with another configuration.
    #[error(
        "store {name:?} is registered with another configuration: registered {registered}, requested {requested}"
    )]
    StoreMismatch {
        /// The store's name.
        name: String,
        /// The registered configuration.
        registered: String,
        /// The requested one.
        requested: String,
    },
    /// The connector cannot do this.
    #[error("the {connector} connector has no {operation}")]
    Unsupported {
        /// The connector.
        connector: &'static str,
        /// The operation.
        operation: &'static str,
    },
    /// A system call failed.
    #[error("{operation} failed: {source}")]
    System {
        /// What was being done.
        operation: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn system(operation: &'static str, source: impl Into<std::io::Error>) -> Self {
        Self::System { operation, source: source.into() }
    }

    /// Why an object with that fingerprint and these bytes is no value, if it is none.
    pub(crate) fn of_outcome(key: Key, fingerprint: Fingerprint, bytes: &[u8]) -> Option<Self> {
        if fingerprint == Fingerprint::CANCELLED {
            Some(Self::Cancelled { key })
        } else if fingerprint == Fingerprint::FAILED {
            Some(Self::Failed { key, message: String::from_utf8_lossy(bytes).into_owned() })
        } else {
            None
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }
}
