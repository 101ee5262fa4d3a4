//! Which rows are made when, and where they lie: the walk over a plan.
//!
//! A step makes some rows of its tensor at a time. Steps that are not on demand run in their order,
//! each until its tensor is whole. Before a step makes rows, the tensors that it reads must have
//! the rows that go into them; where one lacks some, the step that makes it runs first. So a row is
//! made as late as its readers allow, and a tensor in a *segment* (steps on demand, and the one
//! after them) needs memory for a few rows only: its *ring*. Rows lie in a ring in raster order and
//! without a gap; when there is no room for the next ones, those that nobody reads any more leave
//! at the front and the others move up.
//!
//! Owns the order and the places. Guarantees that [`prove`] accepts a plan only if each row that a
//! step reads is there, at its place and untouched, whenever the same walk is repeated: runtime,
//! loader and planner all walk by this code. Does not know what a step computes.

use crate::error::Problem;
use crate::records::{Op, Step, Tensor};
use core::ops::Range;

/// No tensor.
pub const NONE: u16 = u16::MAX;

/// The rows of an input that go into rows of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Rows under the window; `u16::MAX` where all of them are read.
    pub size: u16,
    /// Rows from one window to the next.
    pub stride: u8,
    /// Rows of padding above the input.
    pub top: u8,
}

impl Reach {
    /// Each row from the same row.
    pub const SAME: Self = Self { size: 1, stride: 1, top: 0 };

    /// All rows from all rows.
    pub const ALL: Self = Self { size: u16::MAX, stride: 1, top: 0 };

    /// The rows of an input of `height` rows under the windows of `rows`; at least one.
    #[must_use]
    pub fn rows(self, rows: [u16; 2], height: u16) -> [u16; 2] {
        let (stride, top) = (u32::from(self.stride), u32::from(self.top));
        let first = (u32::from(rows[0]) * stride).saturating_sub(top);
        let last = u32::from(rows[1].saturating_sub(1)) * stride;
        let end = (last + u32::from(self.size)).saturating_sub(top);
        let height = u32::from(height);
        let first = first.min(height.saturating_sub(1));
        let end = end.min(height).max(first + 1);
        [first as u16, end as u16]
    }
}

/// One tensor's part in the walk, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where its memory begins in the arena, in bytes.
    pub offset: u32,
    /// Bytes of one row.
    pub row_bytes: u32,
    /// The tensors that its step reads: by the window, and at the same place.
    pub inputs: [u16; 2],
    /// How its step reads the first one.
    pub reach: Reach,
    /// Its rows; where it is a sum over rows, those that are summed up.
    pub height: u16,
    /// Rows that one run of its step makes.
    pub group: u16,
    /// Rows that its memory holds.
    pub capacity: u16,
    /// The last step that reads it.
    pub last: u16,
    /// The tensor that had its memory first: itself, or a residual that it takes over.
    pub ring: u16,
    /// The tensor that takes over its memory.
    pub heir: u16,
    /// Its step runs when a later step lacks its rows; of the input, that its rows come one after
    /// another.
    pub on_demand: bool,
    /// It is a sum over all rows: one row, written again and again.
    pub sums: bool,
    /// Rows that were made.
    pub made: u16,
    /// The first row that is in the ring; of the ring's first tensor.
    pub base: u16,
    /// The tensor that lacked its rows.
    pub wanted_by: u16,
}

impl Flow {
    /// No tensor yet.
    pub const VACANT: Self = Self {
        offset: 0,
        row_bytes: 0,
        inputs: [NONE; 2],
        reach: Reach::SAME,
        height: 0,
        group: 1,
        capacity: 0,
        last: 0,
        ring: NONE,
        heir: NONE,
        on_demand: false,
        sums: false,
        made: 0,
        base: 0,
        wanted_by: NONE,
    };

    /// Of the input.
    #[must_use]
    pub fn input(tensor: &Tensor<'_>) -> Self {
        let on_demand = tensor.rows < tensor.shape[0];
        Self { on_demand, ring: 0, ..Self::of(tensor) }
    }

    /// Of the output of `step`, whose first input has `input_height` rows; and the residual that it
    /// takes over, or [`NONE`]. For [`Flows::enter`].
    #[must_use]
    pub fn output(tensor: &Tensor<'_>, step: &Step<'_>, input_height: u16) -> (Self, u16) {
        let sums = matches!(step.op, Op::GlobalSum(_));
        let flow = Self {
            inputs: step.op.flows_from().map(|input| input.unwrap_or(NONE)),
            reach: step.op.reach(),
            height: if sums { input_height } else { tensor.shape[0] },
            group: step.rows,
            on_demand: step.on_demand,
            sums,
            ..Self::of(tensor)
        };
        (flow, step.op.takes_over().unwrap_or(NONE))
    }

    fn of(tensor: &Tensor<'_>) -> Self {
        Self {
            offset: tensor.offset,
            row_bytes: u32::try_from(tensor.row_bytes()).unwrap_or(u32::MAX),
            height: tensor.shape[0],
            capacity: tensor.rows,
            last: tensor.last,
            ..Self::VACANT
        }
    }

    fn is_complete(&self) -> bool {
        self.made >= self.height
    }

    fn memory(&self) -> Range<u32> {
        let rows = if self.sums { 1 } else { u32::from(self.capacity) };
        self.offset..self.offset.saturating_add(rows.saturating_mul(self.row_bytes))
    }
}

impl AsRef<Self> for Flow {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsMut<Self> for Flow {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// Bytes that move up in a ring, to make room behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where they are in the arena.
    pub from: Range<usize>,
    /// Where they go.
    pub to: usize,
}

/// The tensors of a plan: 0 is the input, `i + 1` the output of step `i`.
#[derive(Debug)]
pub struct Flows<'f, F>(pub &'f mut [F]);

impl<F: AsRef<Flow> + AsMut<Flow>> Flows<'_, F> {
    /// The tensor of this number; a vacant one where there is none.
    #[must_use]
    pub fn at(&self, tensor: u16) -> &Flow {
        const VACANT: &Flow = &Flow::VACANT;
        self.0.get(usize::from(tensor)).map_or(VACANT, AsRef::as_ref)
    }

    fn update(&mut self, tensor: u16, change: impl FnOnce(&mut Flow)) {
        if let Some(flow) = self.0.get_mut(usize::from(tensor)) {
            change(flow.as_mut());
        }
    }

    fn count(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap_or(NONE)
    }

    /// Enters tensor number `tensor`, whose step writes over `residual`, if one; before any that
    /// reads it. `flow.ring` and `flow.heir` are set here.
    ///
    /// # Errors
    /// Where another tensor has taken over the residual's memory, or it has another place or size.
    pub fn enter(&mut self, tensor: u16, flow: Flow, residual: u16) -> Result<(), Problem> {
        let mut flow = Flow { ring: tensor, heir: NONE, ..flow };
        if residual != NONE {
            let before = *self.at(residual);
            let same = |f: &Flow| (f.offset, f.row_bytes, f.capacity, f.height);
            if before.heir != NONE || same(&before) != same(&flow) || before.sums || flow.sums {
                return Err(Problem::Overlap { first: residual, second: tensor });
            }
            flow.ring = before.ring;
            self.update(residual, |before| before.heir = tensor);
        }
        self.update(tensor, |place| *place = flow);
        Ok(())
    }

    /// Where rows of a tensor lie in the arena, in bytes.
    #[must_use]
    pub fn place(&self, tensor: u16, rows: [u16; 2]) -> Range<usize> {
        let flow = self.at(tensor);
        let row_bytes = flow.row_bytes as usize;
        if flow.sums {
            return flow.offset as usize..flow.offset as usize + row_bytes;
        }
        let base = self.at(flow.ring).base;
        let byte = |row: u16| {
            let row = usize::from(row.saturating_sub(base));
            (flow.offset as usize).saturating_add(row.saturating_mul(row_bytes))
        };
        byte(rows[0])..byte(rows[1])
    }

    /// The first row of a tensor that a step other than that of `besides` still reads; its height
    /// if none does. A tensor that no step reads is kept: it is the output.
    fn needed(&self, tensor: u16, besides: u16) -> u16 {
        let flow = self.at(tensor);
        let mut needed = if flow.last < tensor { 0 } else { flow.height };
        for reader in tensor.saturating_add(1)..=flow.last.saturating_add(1) {
            let by = self.at(reader);
            if reader == besides || by.is_complete() || !by.inputs.contains(&tensor) {
                continue;
            }
            let next = [by.made, by.made.saturating_add(by.group).min(by.height)];
            if by.inputs[0] == tensor {
                needed = needed.min(by.reach.rows(next, flow.height)[0]);
            }
            if by.inputs[1] == tensor {
                needed = needed.min(by.made);
            }
        }
        needed
    }

    /// The first row that a ring has to keep when rows from `next` on are made.
    #[must_use]
    pub fn keep(&self, ring: u16, next: u16) -> u16 {
        let (mut keep, mut tensor) = (next, ring);
        while tensor != NONE {
            keep = keep.min(self.needed(tensor, NONE));
            tensor = self.at(tensor).heir;
        }
        keep
    }

    /// Makes room for rows of a tensor that begins its ring, and says which bytes have to move for
    /// it. After that they have a place, if the ring is large enough.
    pub fn make_room(&mut self, tensor: u16, rows: [u16; 2]) -> Option<Move> {
        let flow = *self.at(tensor);
        let fits = rows[1].saturating_sub(flow.base) <= flow.capacity;
        if fits || flow.sums || flow.ring != tensor {
            return None;
        }
        let keep = self.keep(tensor, rows[0]);
        let from = self.place(tensor, [keep, rows[0]]);
        self.update(tensor, |flow| flow.base = keep);
        let is_move = keep != flow.base && !from.is_empty();
        is_move.then_some(Move { from, to: flow.offset as usize })
    }

    /// Forgets all rows.
    pub fn reset(&mut self) {
        for flow in &mut *self.0 {
            let flow = flow.as_mut();
            (flow.made, flow.base, flow.wanted_by) = (0, 0, NONE);
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// These rows of this tensor.
    Make {
        /// Number of the tensor; its step is the one before.
        tensor: u16,
        /// First row, and the one after the last.
        rows: [u16; 2],
    },
    /// More rows of the input, which come from outside.
    Input,
    /// Nothing.
    Done,
}

/// Where the walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Tensors before it are complete.
    first: u16,
    /// The end of the present segment.
    sink: u16,
    /// The tensor that is being completed.
    target: u16,
    /// The tensor whose next rows are wanted.
    at: u16,
}

impl Walk {
    /// At the start.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: 1, sink: 0, target: 0, at: 0 }
    }

    /// What to do next. Asked again it says the same, until [`Self::made`] tells of progress.
    pub fn next<F>(&mut self, flows: &mut Flows<'_, F>) -> Next
    where
        F: AsRef<Flow> + AsMut<Flow>,
    {
        loop {
            let flow = *flows.at(self.at);
            if self.at == self.target && (self.at == 0 || flow.is_complete()) {
                let Some(target) = self.next_target(flows) else { return Next::Done };
                (self.target, self.at) = (target, target);
                continue;
            }
            if flow.is_complete() {
                self.at = flow.wanted_by;
                continue;
            }
            let rows = [flow.made, flow.made.saturating_add(flow.group).min(flow.height)];
            match lacking(&flow, rows, flows) {
                None => return Next::Make { tensor: self.at, rows },
                Some(0) => return Next::Input,
                Some(input) => {
                    let at = self.at;
                    flows.update(input, |flow| flow.wanted_by = at);
                    self.at = input;
                }
            }
        }
    }

    /// Rows of a tensor up to `end` are made.
    pub fn made<F>(&mut self, flows: &mut Flows<'_, F>, tensor: u16, end: u16)
    where
        F: AsRef<Flow> + AsMut<Flow>,
    {
        flows.update(tensor, |flow| flow.made = end);
        if tensor == self.at && tensor != self.target {
            self.at = flows.at(tensor).wanted_by;
        }
    }

    /// The end of the segment; then what nobody asked for; then the end of the next segment.
    fn next_target<F>(&mut self, flows: &Flows<'_, F>) -> Option<u16>
    where
        F: AsRef<Flow> + AsMut<Flow>,
    {
        let count = flows.count();
        while self.first < count && flows.at(self.first).is_complete() {
            self.first += 1;
        }
        if self.first >= count {
            return None;
        }
        if self.first > self.sink {
            let end = (self.first..count).find(|&tensor| !flows.at(tensor).on_demand);
            self.sink = end.unwrap_or(count - 1);
        }
        let sink_is_complete = flows.at(self.sink).is_complete();
        Some(if sink_is_complete { self.first } else { self.sink })
    }
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}

/// An input that lacks rows for `rows` of the tensor of `flow`. The one that is read at the same
/// place comes first: its rows wait in the memory of the output, the window's in a ring.
fn lacking<F>(flow: &Flow, rows: [u16; 2], flows: &Flows<'_, F>) -> Option<u16>
where
    F: AsRef<Flow> + AsMut<Flow>,
{
    let [window, same] = flow.inputs;
    if same != NONE && flows.at(same).made < rows[1] {
        return Some(same);
    }
    let input = flows.at(window);
    let end = flow.reach.rows(rows, input.height)[1];
    (window != NONE && input.made < end).then_some(window)
}

/// Walks through the plan without computing anything, and forgets it again.
///
/// # Errors
/// Where a ring is too small for the rows that are read at the same time, or a step writes over
/// rows that are still read.
pub fn prove<F: AsRef<Flow> + AsMut<Flow>>(flows: &mut Flows<'_, F>) -> Result<(), Problem> {
    flows.reset();
    let result = walk_through(flows, |_, _, _| ());
    flows.reset();
    result
}

/// The same, without a reset before and after; `look` is told of each tensor and its rows before
/// they are made, with room for them.
///
/// # Errors
/// As [`prove`].
pub fn walk_through<F: AsRef<Flow> + AsMut<Flow>>(
    flows: &mut Flows<'_, F>,
    mut look: impl FnMut(&Flows<'_, F>, u16, [u16; 2]),
) -> Result<(), Problem> {
    let mut walk = Walk::new();
    if !flows.at(0).on_demand {
        flows.update(0, |input| input.made = input.height);
    }
    loop {
        let (tensor, rows) = match walk.next(flows) {
            Next::Done => return Ok(()),
            Next::Make { tensor, rows } => (tensor, rows),
            Next::Input => {
                let made = flows.at(0).made;
                (0, [made, made.saturating_add(1)])
            }
        };
        let moved = flows.make_room(tensor, rows);
        prove_write(flows, tensor, rows, moved.as_ref())?;
        look(flows, tensor, rows);
        walk.made(flows, tensor, rows[1]);
    }
}

/// That the rows have room, and that nothing that is still read lies where they go.
fn prove_write<F: AsRef<Flow> + AsMut<Flow>>(
    flows: &Flows<'_, F>,
    tensor: u16,
    rows: [u16; 2],
    moved: Option<&Move>,
) -> Result<(), Problem> {
    let flow = *flows.at(tensor);
    let ring = *flows.at(flow.ring);
    let need = rows[1].saturating_sub(ring.base);
    if !flow.sums && need > flow.capacity {
        return Err(Problem::Rows { tensor, need, have: flow.capacity });
    }
    if flow.ring != tensor && flows.needed(flow.inputs[1], tensor) < rows[1] {
        return Err(Problem::Overlap { first: flow.inputs[1], second: tensor });
    }
    let target = flows.place(tensor, rows);
    let moved = moved.map_or(0..0, |moved| moved.to..moved.to + moved.from.len());
    for other in 0..flows.count() {
        let z = flows.at(other);
        if z.made == 0 || z.ring == flow.ring || !overlap(&z.memory(), &flow.memory()) {
            continue;
        }
        let live = live(flows, other);
        if overlap(&live, &target) || overlap(&live, &moved) {
            let (first, second) = (other.min(tensor), other.max(tensor));
            return Err(Problem::Overlap { first, second });
        }
    }
    Ok(())
}

/// The bytes of a tensor's rows that are still read.
#[must_use]
pub fn live<F: AsRef<Flow> + AsMut<Flow>>(flows: &Flows<'_, F>, tensor: u16) -> Range<usize> {
    let flow = flows.at(tensor);
    let needed = flows.needed(tensor, NONE);
    if needed >= flow.height || needed >= flow.made {
        return 0..0;
    }
    flows.place(tensor, [needed, flow.made])
}

fn overlap<T: PartialOrd>(a: &Range<T>, b: &Range<T>) -> bool {
    a.start < b.end && b.start < a.end
}
