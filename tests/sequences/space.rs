//! What a data area of a few units must hold, may hold, and can not hold.

pub const UNIT: u64 = 64 * 1024;

/// Cell sizes as docs/design.md lists them.
const CELLS: [u64; 45] = [
    64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960, 1024, 1152, 1280,
    1408, 1536, 1664, 1792, 1920, 2048, 2304, 2560, 2816, 3072, 3264, 3584, 3840, 4096, 4672, 4992,
    5440, 5952, 6528, 7232, 8192, 9344, 10880, 13056, 16384, 21824, 32768,
];

/// What an object's bytes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    None,
    /// Of this many bytes.
    Cell(u64),
    /// Of this many units.
    Span(u64),
}

impl Block {
    pub fn of(len: u64) -> Self {
        match CELLS.into_iter().find(|&cell| cell >= len) {
            _ if len == 0 => Self::None,
            Some(cell) => Self::Cell(cell),
            None => Self::Span(len.div_ceil(UNIT)),
        }
    }

    /// This one and all that are larger, up to so many units.
    pub fn and_larger(self, units: u64) -> impl Iterator<Item = Self> {
        let cells = CELLS.into_iter().map(Self::Cell);
        let all = std::iter::once(Self::None).chain(cells).chain((1..=units).map(Self::Span));
        all.skip_while(move |&block| block != self)
    }

    pub fn bytes(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Cell(bytes) => bytes,
            Self::Span(units) => units * UNIT,
        }
    }
}

/// Whether blocks find room beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Must,
    /// It depends on where the others lie.
    May,
    Never,
}

/// Units that blocks take at least, cells side by side.
pub fn least(blocks: &[Block]) -> u64 {
    let spans: u64 =
        blocks.iter().map(|block| if let Block::Span(n) = block { *n } else { 0 }).sum();
    let slabs: u64 = CELLS.iter().map(|&cell| count(blocks, cell).div_ceil(UNIT / cell)).sum();
    spans + slabs
}

/// Units that blocks take at most, each cell in a slab of its own.
pub fn most(blocks: &[Block], units: u64) -> u64 {
    let each = |block: &Block| match block {
        Block::None => 0,
        Block::Cell(_) => 1,
        Block::Span(units) => *units,
    };
    blocks.iter().map(each).sum::<u64>().min(units)
}

fn count(blocks: &[Block], cell: u64) -> u64 {
    blocks.iter().filter(|&&block| block == Block::Cell(cell)).count() as u64
}

/// Whether `demand` fits beside what is held, claimed one after the other.
pub fn fit(held: &[Block], demand: &[Block], units: u64) -> Fit {
    let mut all = held.to_vec();
    let mut certain = true;
    for &block in demand {
        certain &= match block {
            Block::None => true,
            // Wherever the others of this size lie, their slab has a cell left.
            Block::Cell(cell) if (1..UNIT / cell).contains(&count(&all, cell)) => true,
            Block::Cell(_) | Block::Span(1) => most(&all, units) < units,
            Block::Span(_) => most(&all, units) == 0,
        };
        all.push(block);
    }
    match () {
        () if least(&all) > units => Fit::Never,
        () if certain => Fit::Must,
        () => Fit::May,
    }
}
