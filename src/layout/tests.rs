//! Holds the tables of `docs/design.md` against the structs and words they describe.

use std::mem::{align_of, offset_of, size_of};

use crate::layout::block::BlockRef;
use crate::layout::class::Class;
use crate::layout::geometry::Geometry;
use crate::layout::header::{Header, LISTENERS, RING};
use crate::layout::hint::HintStack;
use crate::layout::participant::{EntryWord, ParticipantEntry, ParticipantId, Presence};
use crate::layout::queue::{EnvelopeWord, MAX_ENVELOPES, RingWord};
use crate::layout::slot::{
    BOUND, CHANNEL, DOOMED, EVICTED, EXPIRED, KeeperWord, LAST_GENERATION, LAST_HANDS, Link,
    MESSAGE, NAMING, OFFERED, ObjectId, Place, Slot, SlotWord, State, VARIABLE, VERSION, WAITERS,
};
use crate::layout::topic::{CursorWord, NO_POSITION, PostWord};
use crate::layout::types::TypeEntry;
use crate::layout::unit::{SPARE_CELLS, Unit, UnitEntry, UnitWord, WORDS_COMMITTED};

const DESIGN: &str = include_str!("../../docs/design.md");

/// The text between a heading that starts so and the next heading.
fn section(heading: &str) -> &'static str {
    let start = DESIGN.find(&format!("\n{heading}"));
    let body = &DESIGN[start.unwrap_or_else(|| panic!("no section {heading:?}")) + 1..];
    body.split_once("\n#").map_or(body, |(section, _)| section)
}

/// The cells of a section's table rows, without its head.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let lines = section(heading).lines().filter(|line| line.starts_with('|'));
    let cells = lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect());
    cells.skip(2).collect()
}

/// The number that follows a word in a text, as in `FREE 2`.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let mut words =
        text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    words.find(|found| *found == word)?;
    words.next()?.parse().ok()
}

fn size_of_field<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

/// Every field of a struct with its offset and size; one that is left out does not compile.
macro_rules! fields {
    ($type:ident { $($field:ident),* $(,)? }) => {{
        let _all = |$type { $($field: _),* }: &$type| ();
        let fields = vec![$((
            stringify!($field).to_owned(),
            offset_of!($type, $field),
            size_of_field(|value: &$type| &value.$field),
        )),*];
        (stringify!($type), size_of::<$type>(), align_of::<$type>(), fields)
    }};
}

type Fields = (&'static str, usize, usize, Vec<(String, usize, usize)>);

fn shared_structs() -> Vec<Fields> {
    vec![
        fields!(Header {
            magic,
            layout_version,
            lifespan,
            layout_fingerprint,
            region_id,
            capacity,
            max_objects,
            max_participants,
            created_at,
            creator,
            chunks,
            participants_high,
            frontier,
            fork_epoch,
            returns,
            spare_word,
            seal,
            spare,
            bells,
        }),
        fields!(ParticipantEntry {
            word,
            pid,
            attached_at,
            puts,
            put_bytes,
            gets,
            misses,
            evictions,
        }),
        fields!(Slot { word, block, len, fingerprint, link, place, extra, deadline }),
        fields!(HintStack { depth, spare, entries }),
        fields!(TypeEntry { fingerprint, name }),
        fields!(UnitEntry { word, flags }),
    ]
}

#[test]
fn every_field_stands_where_the_document_says_with_its_writer_reader_and_repairer() {
    for (name, size, align, fields) in shared_structs() {
        let heading = format!("### `{name}`: {size} bytes, aligned to {align}\n");
        let documented: Vec<_> = rows(&heading)
            .into_iter()
            .map(|row| {
                assert!(
                    row.len() == 6 && row.iter().all(|cell| !cell.is_empty()),
                    "{name}: {row:?} lacks a column"
                );
                let number = |at: usize| row[at].parse::<usize>().unwrap();
                (row[0].trim_matches('`').to_owned(), number(1), number(2))
            })
            .collect();
        assert_eq!(documented, fields, "fields of {name}: document left, code right");
    }
}

#[test]
fn a_structs_fields_leave_no_gap() {
    for (name, size, _, fields) in shared_structs() {
        let mut end = 0;
        for (field, offset, len) in fields {
            assert_eq!(offset, end, "{name}.{field} follows a gap");
            end = offset + len;
        }
        assert_eq!(end, size, "{name} ends with a gap");
    }
}

/// The documented parts of a word as masks, which must tile it.
fn parts(name: &str, bits: u32) -> Vec<(&'static str, u64)> {
    let mut next = 0;
    let parts = rows(&format!("### `{name}`: bits of {bits}\n")).into_iter().map(|row| {
        let (first, last) = row[1].split_once('–').unwrap();
        let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(first, next, "{name}: a gap or an overlap before {}", row[0]);
        next = last + 1;
        (row[0], (u64::MAX >> (63 - (last - first))) << first)
    });
    let parts: Vec<_> = parts.collect();
    assert_eq!(next, bits, "{name}: the last bits are missing");
    parts
}

#[test]
fn slot_words_and_ids_are_packed_as_documented() {
    let empty = SlotWord::new(0, State::Free);
    let all = SlotWord(u64::MAX);
    let generation = SlotWord::new(LAST_GENERATION, State::Free).0;
    let owner = empty.owned_by(ParticipantId::new(0xfff - 1)).0;
    assert_eq!(owner, all.0 ^ all.unowned().0);
    let state = all.0 ^ all.with_state(State::Free).0;
    let flags = all.0 ^ generation ^ owner ^ state;
    assert_eq!(
        parts("SlotWord", 64),
        [("flags", flags), ("state", state), ("owner", owner), ("generation", generation)]
    );
    let id = ObjectId::new(0, LAST_GENERATION).0;
    assert_eq!(parts("ObjectId", 64), [("slot", !id), ("generation", id)]);
    let last = KeeperWord(u64::MAX);
    let hands = (last.0 ^ (last.generation() << 24)) & !0xfff;
    assert_eq!(hands >> 12, LAST_HANDS);
    let keeper = KeeperWord::new(0, ParticipantId::new(0xfff - 1)).0;
    let parts_of_keeper = [("keeper", keeper), ("hands", hands), ("generation", generation)];
    assert_eq!(parts("KeeperWord", 64), parts_of_keeper);
    let bell = parts("Bell", 32);
    assert_eq!(bell, [("LISTENERS", LISTENERS.into()), ("rings", (u32::MAX - LISTENERS).into())]);
    assert_eq!(u64::from(RING), 1 << bell[1].1.trailing_zeros());
    let text = section("### `SlotWord`");
    let named = [
        ("WAITERS", WAITERS),
        ("EVICTED", EVICTED),
        ("BOUND", BOUND),
        ("DOOMED", DOOMED),
        ("MESSAGE", MESSAGE),
        ("OFFERED", OFFERED),
        ("NAMING", NAMING),
        ("CHANNEL", CHANNEL),
        ("VARIABLE", VARIABLE),
        ("VERSION", VERSION),
    ];
    for (name, flag) in named {
        assert_eq!(number_after(text, name), Some(flag), "{name}");
        assert_eq!(flag & !flags, 0, "{name}");
    }
}

#[test]
fn words_of_queues_are_packed_as_documented() {
    let all = EnvelopeWord(u64::MAX);
    let version = EnvelopeWord(0).next().0 * ((1 << 40) - 1);
    let owner = EnvelopeWord(0).owned_by(ParticipantId::new(0xfff - 1)).0;
    let deliveries = (0..255).fold(EnvelopeWord(0), |word, _| word.delivered()).0;
    let stage = all.0 ^ version ^ owner ^ deliveries;
    assert_eq!(
        parts("EnvelopeWord", 64),
        [("stage", stage), ("owner", owner), ("deliveries", deliveries), ("version", version)]
    );
    let text = section("### `EnvelopeWord`");
    for bits in 0..16 {
        let Some(stage) = EnvelopeWord(bits).stage() else { continue };
        assert_eq!(number_after(text, &format!("{stage:?}").to_uppercase()), Some(bits));
    }
    let envelope = RingWord::naming(0, MAX_ENVELOPES - 2, EnvelopeWord(0)).0;
    let version = RingWord::naming(0, 0, all).0 & !envelope;
    let round = !(envelope | version);
    assert_eq!(RingWord(round).round(), round >> round.trailing_zeros());
    assert_eq!(
        parts("RingWord", 64),
        [("envelope", envelope), ("version", version), ("round", round)]
    );
}

#[test]
fn words_of_topics_are_packed_as_documented() {
    let slot = PostWord::new(0, (1 << 24) - 1).0;
    assert_eq!(parts("PostWord", 64), [("slot", slot), ("position", !slot)]);
    let owner = CursorWord::new(0, ParticipantId::new(0xfff - 1)).0;
    assert_eq!(parts("CursorWord", 64), [("owner", owner), ("position", !owner)]);
    assert_eq!(CursorWord::new(NO_POSITION, ParticipantId::new(0xfff - 1)).0, u64::MAX);
}

#[test]
fn blocks_units_entries_and_links_are_packed_as_documented() {
    let largest = (1 << 24) - 1;
    let extent = BlockRef::span(0, largest).0 ^ BlockRef::span(0, 0).0;
    let cell = BlockRef::cell(0, 0, Class(0)).0;
    let kind = cell | BlockRef::span(0, 0).0;
    let granule = (BlockRef::span((1 << 28) - 1, 0).0 | BlockRef::cell(0, 1023, Class(0)).0) ^ kind;
    assert_eq!(parts("BlockRef", 64), [("granule", granule), ("extent", extent), ("kind", kind)]);
    let text = section("### `BlockRef`");
    assert!(text.contains("1 cell, 2 span"));
    assert_eq!((cell >> 62, BlockRef::span(0, 0).0 >> 62, BlockRef::NONE.0), (1, 2, 0));

    let incarnation = EntryWord::new(u64::MAX >> 8, Presence::Vacant).0;
    assert_eq!(parts("EntryWord", 64), [("presence", !incarnation), ("incarnation", incarnation)]);
    let units = parts("UnitWord", 32);
    assert_eq!(units.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["payload", "kind"]);
    assert_eq!(u64::from(UnitWord::new(Unit::Span(largest)).0) & units[0].1, u64::from(largest));

    let deadlines: Vec<_> = rows("### `Slot::deadline`").into_iter().map(|row| row[0]).collect();
    assert_eq!((deadlines, EXPIRED), (vec!["0", "2^64 − 1", "another"], u64::MAX));

    let id = ObjectId::new(9, 8);
    let values: Vec<_> = rows("### `Link`").into_iter().map(|row| row[0]).collect();
    assert_eq!(values, ["0", "1", "id + 1"]);
    assert_eq!((Link::NONE.0, Link::replacing(None).0), (0, 1));
    assert_eq!(Link::replacing(Some(id)).0, id.0 + 1);
    let values: Vec<_> = rows("### `Place`").into_iter().map(|row| row[0]).collect();
    assert_eq!(values, ["0", "bucket + 1", "id + 65536"]);
    assert_eq!(Place::Bucket(7).to_word(), 8);
    assert_eq!(Place::Variable(id).to_word(), id.0 + 65536);
}

#[test]
fn states_presences_and_kinds_have_the_documented_numbers() {
    let documented: Vec<_> = rows("## Slot states")
        .into_iter()
        .map(|row| (row[0].to_lowercase(), row[1].parse::<u64>().unwrap()))
        .collect();
    let states: Vec<_> = (0..16)
        .filter_map(|bits| Some((SlotWord(bits << 8).state()?, bits)))
        .map(|(state, bits)| (format!("{state:?}").to_lowercase(), bits))
        .collect();
    assert_eq!(documented, states);

    let entry = section("### `EntryWord`");
    for bits in 0..=0xff_u64 {
        let Some(presence) = EntryWord(bits).presence() else { continue };
        assert_eq!(number_after(entry, &format!("{presence:?}").to_uppercase()), Some(bits));
    }

    let (p, class, unit) = (ParticipantId::new(5), Class(3), section("### `UnitWord`"));
    for (name, state, payload) in [
        ("COLD", Unit::Cold, 0),
        ("WARMING", Unit::Warming(p), 5 << 8),
        ("FREE", Unit::Free, 0),
        ("SLAB", Unit::Slab(class), 3),
        ("RETIRING", Unit::Retiring(class, p), 5 << 8 | 3),
        ("SPAN", Unit::Span(77), 77),
        ("TRIMMING", Unit::Trimming(p), 5 << 8),
    ] {
        let kind = number_after(unit, name).unwrap_or_else(|| panic!("no kind {name}"));
        assert_eq!(u64::from(UnitWord::new(state).0), kind << 28 | payload, "{name}");
    }
    let flags = section("### `UnitEntry`");
    assert_eq!(number_after(flags, "SPARE_CELLS"), Some(SPARE_CELLS.into()));
    assert_eq!(number_after(flags, "WORDS_COMMITTED"), Some(WORDS_COMMITTED.into()));
}

#[test]
fn geometries_and_cell_sizes_are_the_documented_ones() {
    let geometries = rows("### Geometries");
    assert!(geometries.len() >= 5);
    for row in geometries {
        let numbers: Vec<u64> = row.iter().map(|cell| cell.parse().unwrap()).collect();
        let geometry = Geometry::new(numbers[0], numbers[1] as u32, numbers[2] as u32).unwrap();
        let found = [
            geometry.chunk_stride(),
            geometry.initial_commit(),
            geometry.data_offset(),
            geometry.total(),
        ];
        assert_eq!(numbers[3..], found, "{row:?}");
    }
    let most = (1..4096).rev().find(|&count| Geometry::new(1 << 20, 1000, count).is_ok()).unwrap();
    let stated = section("## The file of a region").replace(',', "");
    assert!(stated.contains(&format!("That is {most} participants")), "{most}");

    let text = section("## Cells of slabs").split("```").nth(1).unwrap();
    let documented: Vec<u64> =
        text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!(documented, Class::all().map(Class::bytes).collect::<Vec<_>>());
}
