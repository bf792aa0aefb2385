//! Topics: who has pinned one, publishes, subscribes, waits.

mod options;

pub use options::TopicOptions;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::layout::slot::ObjectId;
use crate::layout::topic::NO_POSITION;
use crate::names;
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::topic::{
    Cursor, METADATA_BYTES, Note, Post, Start, Topic, TopicPlace, Unpublished, Window,
};
use crate::region::attachment::Attachment;
use crate::region::ops::with_key;
use crate::region::pinned::Pinned;
use crate::region::promises::SLICE;
use crate::region::queues::{Owner, Patience, wait_until};
use crate::region::{Region, reap};
use crate::sys::clock;
use crate::writer::{BlockWriter, Fill};

/// A topic that one process has pinned.
#[derive(Debug)]
pub(super) struct TopicHandle {
    pinned: Pinned,
    place: TopicPlace,
    owner: Owner,
}

impl Region {
    /// A topic without messages, for those of a type.
    pub(crate) fn new_topic(
        &self,
        fingerprint: Fingerprint,
        options: &TopicOptions,
    ) -> Result<Key> {
        let shape = options.shape(self.max_participants())?;
        self.relieved(shape.bytes(), |actor| actor.new_topic(fingerprint, shape))
            .map(|id| self.key(id))
    }

    /// The topic a name is bound to; made, and bound, if it is bound to nothing.
    pub(crate) fn open_topic(
        &self,
        name: &str,
        fingerprint: Fingerprint,
        options: &TopicOptions,
    ) -> Result<Key> {
        names::check(name)?;
        let shape = options.shape(self.max_participants())?;
        let id =
            self.relieved(shape.bytes(), |actor| actor.open_topic(name, fingerprint, shape))?;
        let key = self.key(id);
        let actor = self.attachment.actor()?;
        let found = actor.pin_topic(id).map_err(|error| with_key(error, key))?;
        let (_pin, topic) = found.ok_or(Error::NotFound { key })?;
        let found = topic.place.shape;
        for (what, found, wanted) in [
            ("capacity", found.capacity.into(), shape.capacity.into()),
            ("hold_back", found.cursors.into(), shape.cursors.into()),
            ("max_bytes", found.max_bytes, shape.max_bytes),
            ("max_age, in nanoseconds,", found.max_age, shape.max_age),
        ] {
            if found != wanted {
                return Err(Error::InvalidConfig {
                    what: format!("{what} of the topic {name:?}"),
                    found: wanted.to_string(),
                    expected: format!("{found}, with which it was made"),
                });
            }
        }
        Ok(key)
    }

    fn topic_handle(&self, key: Key, fingerprint: Fingerprint) -> Result<TopicHandle> {
        let id = self.object_id(key)?;
        let actor = self.attachment.actor()?;
        let owner = Owner::new(self.attachment, actor.me);
        actor.expect_topic(id, fingerprint)?;
        let found = actor.pin_topic(id).map_err(|error| with_key(error, key))?;
        let (pin, topic) = found.ok_or(Error::NotFound { key })?;
        let place = topic.place;
        Ok(TopicHandle { pinned: Pinned::new(self.attachment, pin)?, place, owner })
    }

    /// This process as one that publishes to a topic.
    pub(crate) fn topic_publisher(
        &self,
        key: Key,
        fingerprint: Fingerprint,
    ) -> Result<TopicPublisher> {
        let handle = self.topic_handle(key, fingerprint)?;
        handle.topic()?.add_producer();
        Ok(TopicPublisher { region: self.clone(), handle, window: Mutex::default() })
    }

    /// This process as one that receives all that is published to a topic from somewhere on.
    pub(crate) fn topic_subscriber(
        &self,
        (key, fingerprint): (Key, Fingerprint),
        start: Start,
    ) -> Result<TopicSubscriber> {
        if let Start::At(position) = start
            && position >= NO_POSITION
        {
            return Err(Error::InvalidConfig {
                what: "a position to start at".into(),
                found: position.to_string(),
                expected: format!("less than {NO_POSITION}"),
            });
        }
        let handle = self.topic_handle(key, fingerprint)?;
        let mut cursor = handle.topic()?.join(start)?;
        let started = Instant::now();
        while cursor.is_none() {
            reap::reap_dead(self.attachment)?;
            // Somebody else may be reaping who had a place, and not be done.
            let is_held = handle.topic()?.is_held_by_dead(&self.attachment.source())?;
            let is_to_come = is_held && started.elapsed() < SLICE;
            cursor = handle.topic()?.join(start)?;
            if cursor.is_some() || !is_to_come {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let most = handle.place.shape.cursors;
        let cursor = cursor.ok_or(Error::TooManySubscribers { key, most })?;
        Ok(TopicSubscriber { region: self.clone(), handle, cursor })
    }

    /// Drops what a topic is not to keep; how many messages.
    pub(crate) fn trim_topic(&self, key: Key, fingerprint: Fingerprint) -> Result<u64> {
        let handle = self.topic_handle(key, fingerprint)?;
        handle.topic()?.drop_oldest(&mut Window::default())
    }
}

impl TopicHandle {
    /// The topic, for this process; an error in a forked child.
    #[inline]
    pub(super) fn topic(&self) -> Result<Topic<'_>> {
        let actor = self.owner.actor(self.pinned.attachment(), "handle of a topic")?;
        actor.at_topic(self.place, self.pinned.slot())
    }

    /// The same, pinned once more.
    pub(super) fn again(&self) -> Result<Self> {
        Ok(Self { pinned: self.pinned.again()?, place: self.place, owner: self.owner })
    }

    pub(super) fn id(&self) -> ObjectId {
        self.place.id
    }

    fn key(&self) -> Key {
        self.pinned.key()
    }

    /// What `look` finds, sooner or later; `None`: not in the time there is.
    #[inline]
    fn wait_until<R>(
        &self,
        bell: ChannelBell,
        patience: &Patience,
        look: impl FnMut() -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        wait_until(self.pinned.attachment(), patience, || Ok(self.topic()?.listen(bell)), look)
    }
}

/// A publisher.
#[derive(Debug)]
pub(crate) struct TopicPublisher {
    pub(super) region: Region,
    pub(super) handle: TopicHandle,
    /// What it knows of lengths; where bytes are not limited, nothing.
    window: Mutex<Window>,
}

impl TopicPublisher {
    /// Publishes what `fill` writes, of about so many bytes; at which position.
    #[inline]
    pub(crate) fn publish(
        &self,
        (size, metadata): (usize, &[u8]),
        patience: &Patience,
        fill: &mut Fill<'_>,
    ) -> Result<u64> {
        if metadata.len() > METADATA_BYTES {
            return Err(too_much_metadata(metadata.len()));
        }
        let topic = self.handle.topic()?;
        let left = self.wait_for_room(&topic, patience)?;
        let time = if topic.place.shape.max_age == 0 { 0 } else { clock::now() };
        let note = Note::new(metadata, time);
        let guess = (size as u64).saturating_add(note.bytes());
        let mut fill = |out: &mut BlockWriter<'_>| {
            fill(out)?;
            note.write(out);
            Ok(())
        };
        let message = self.region.relieved(guess, |_| topic.write_message(guess, &mut fill))?;
        self.send(&topic, message, &left)?.ok_or_else(|| self.refuse(patience))
    }

    pub(crate) fn key(&self) -> Key {
        self.handle.key()
    }

    /// Waits for room before anything is written; how long to wait if somebody else takes it.
    #[inline]
    fn wait_for_room(&self, topic: &Topic<'_>, patience: &Patience) -> Result<Patience> {
        topic.expect_there()?;
        if topic.has_room()? {
            return Ok(*patience);
        }
        let started = Instant::now();
        let look = || {
            topic.expect_there()?;
            Ok(topic.has_room()?.then_some(()))
        };
        match self.handle.wait_until(ChannelBell::Room, patience, look)? {
            Some(()) => {
                let left = |limit: Duration| limit.saturating_sub(started.elapsed());
                Ok(Patience { limit: patience.limit.map(left), ..*patience })
            }
            None => Err(self.refuse(patience)),
        }
    }

    #[inline]
    fn send(
        &self,
        topic: &Topic<'_>,
        message: Unpublished<'_>,
        patience: &Patience,
    ) -> Result<Option<u64>> {
        let look = || {
            topic.expect_there()?;
            message.try_publish()
        };
        let found = self.handle.wait_until(ChannelBell::Room, patience, look)?;
        let Some(position) = found else { return Ok(None) };
        message.announce();
        let shape = &topic.place.shape;
        if shape.max_bytes != 0 || shape.max_age != 0 {
            let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
            // It is published; of what is wrong with others, whoever trims hears.
            let _ = topic.drop_oldest(&mut window);
        }
        Ok(Some(position))
    }

    #[cold]
    fn refuse(&self, patience: &Patience) -> Error {
        let (key, capacity) = (self.handle.key(), self.handle.place.shape.capacity);
        match patience.waited() {
            Some(waited) => Error::TimedOut { key, waited },
            None => Error::Full { key, capacity },
        }
    }
}

#[cold]
fn too_much_metadata(len: usize) -> Error {
    let (len, most) = (len as u64, METADATA_BYTES as u64);
    Error::TooLarge { len, most, what: "the metadata of a message".into() }
}

impl Drop for TopicPublisher {
    fn drop(&mut self) {
        // A forked child never published.
        if let Ok(topic) = self.handle.topic() {
            topic.remove_producer();
        }
    }
}

/// A subscriber.
#[derive(Debug)]
pub(crate) struct TopicSubscriber {
    pub(super) region: Region,
    pub(super) handle: TopicHandle,
    cursor: Cursor,
}

/// A message that was received.
#[derive(Debug)]
pub(crate) struct ReceivedPost {
    /// Its bytes alone.
    pub(crate) pinned: Pinned,
    pub(crate) position: u64,
    pub(crate) missed: u64,
    note: Note,
}

impl ReceivedPost {
    #[inline]
    fn new(attachment: &'static Attachment, post: Post<'_>) -> Result<Self> {
        let Post { pin, position, missed } = post;
        let pinned = Pinned::new(attachment, pin)?;
        let (len, note) = Note::split(&pinned)?;
        Ok(Self { pinned: pinned.cut(len), position, missed, note })
    }

    /// What was said of it.
    pub(crate) fn metadata(&self) -> &[u8] {
        self.note.metadata()
    }
}

/// What a subscriber found.
#[derive(Debug)]
pub(crate) enum Broadcast {
    Message(ReceivedPost),
    /// Nothing, and nobody publishes any more.
    End,
    /// Nothing in the time there was.
    Nothing,
}

enum Found<'a> {
    Message(Post<'a>),
    End,
}

impl TopicSubscriber {
    /// The next message.
    #[inline]
    pub(crate) fn receive(&mut self, patience: &Patience) -> Result<Broadcast> {
        let topic = self.handle.topic()?;
        let cursor = &mut self.cursor;
        let look = || {
            topic.expect_there()?;
            if let Some(post) = topic.receive(cursor)? {
                return Ok(Some(Found::Message(post)));
            }
            if !topic.has_no_producer() {
                return Ok(None);
            }
            // Whatever was published, was published before that was so.
            let post = topic.receive(cursor)?;
            Ok(Some(post.map_or(Found::End, Found::Message)))
        };
        match self.handle.wait_until(ChannelBell::Items, patience, look)? {
            Some(Found::Message(post)) => {
                let missed = post.missed;
                let received = ReceivedPost::new(self.handle.pinned.attachment(), post);
                if received.is_err() {
                    cursor.missed += missed;
                }
                received.map(Broadcast::Message)
            }
            Some(Found::End) => Ok(Broadcast::End),
            None => Ok(Broadcast::Nothing),
        }
    }

    /// The position of the message that is received next, or lost.
    pub(crate) fn position(&self) -> u64 {
        self.cursor.position
    }

    /// How many it lost since the last message that it received, as far as it has looked.
    pub(crate) fn missed(&self) -> u64 {
        self.cursor.missed
    }

    /// Losses before a message that could not be used are told with the next one.
    #[cold]
    pub(crate) fn put_back(&mut self, missed: u64) {
        self.cursor.missed += missed;
    }

    /// Whether nobody publishes any more, and there is nothing to receive.
    pub(crate) fn has_ended(&self) -> Result<bool> {
        let topic = self.handle.topic()?;
        topic.expect_there()?;
        Ok(topic.has_no_producer() && topic.is_at_end(&self.cursor)?)
    }

    pub(crate) fn key(&self) -> Key {
        self.handle.key()
    }

    /// Refuses a forked child.
    #[inline]
    pub(crate) fn expect_mine(&self) -> Result<()> {
        self.handle.topic().map(drop)
    }
}

impl Drop for TopicSubscriber {
    fn drop(&mut self) {
        // A forked child never subscribed.
        if let Ok(topic) = self.handle.topic() {
            topic.leave(&self.cursor);
        }
    }
}
