//! Writing a `FlatBuffers` file from tables of numbered fields.
//!
//! A table is written before what it refers to, so that every offset points forwards, as the format
//! demands. Knows no schema, and shares nothing: each vtable belongs to one table.

/// What a field holds.
#[derive(Clone, Debug)]
pub(super) enum Field {
    /// A number of 1, 4 or 8 bytes, little-endian.
    Number(Vec<u8>),
    /// Another table.
    Table(Table),
    /// Numbers of so many bytes each, aligned to so many.
    Numbers { size: usize, align: usize, bytes: Vec<u8> },
    /// Text.
    Text(String),
    /// A list of tables.
    Tables(Vec<Table>),
}

/// Fields by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(Vec<(usize, Field)>);

impl Table {
    pub(super) fn with(mut self, number: usize, field: Field) -> Self {
        self.0.push((number, field));
        self
    }

    pub(super) fn byte(self, number: usize, value: u8) -> Self {
        self.with(number, Field::Number(vec![value]))
    }

    pub(super) fn int(self, number: usize, value: i32) -> Self {
        self.with(number, Field::Number(value.to_le_bytes().to_vec()))
    }

    pub(super) fn float(self, number: usize, value: f32) -> Self {
        self.with(number, Field::Number(value.to_le_bytes().to_vec()))
    }

    pub(super) fn ints(self, number: usize, values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.with(number, Field::Numbers { size: 4, align: 4, bytes })
    }

    pub(super) fn floats(self, number: usize, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.with(number, Field::Numbers { size: 4, align: 4, bytes })
    }

    pub(super) fn longs(self, number: usize, values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.with(number, Field::Numbers { size: 8, align: 8, bytes })
    }

    pub(super) fn text(self, number: usize, text: &str) -> Self {
        self.with(number, Field::Text(text.to_owned()))
    }

    pub(super) fn table(self, number: usize, table: Self) -> Self {
        self.with(number, Field::Table(table))
    }

    pub(super) fn tables(self, number: usize, tables: Vec<Self>) -> Self {
        self.with(number, Field::Tables(tables))
    }

    /// The bytes of a file with this root; none where it would be longer than offsets reach.
    pub(super) fn file(&self, identifier: [u8; 4]) -> Option<Vec<u8>> {
        let mut out = vec![0; 4];
        out.extend(identifier);
        let root = write_table(&mut out, self);
        point(&mut out, 0, root);
        (i32::try_from(out.len()).is_ok()).then_some(out)
    }
}

fn align(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

/// Writes the offset from `at` to `target` at `at`. Files are checked to be shorter than 2^31.
fn point(out: &mut [u8], at: usize, target: usize) {
    let offset = (target - at) as u32;
    out[at..at + 4].copy_from_slice(&offset.to_le_bytes());
}

/// Writes a table and all that it refers to; gives its place.
fn write_table(out: &mut Vec<u8>, table: &Table) -> usize {
    let slots = table.0.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
    align(out, 2);
    let vtable = out.len();
    let vtable_bytes = 4 + 2 * slots;
    out.resize(vtable + vtable_bytes, 0);
    align(out, 8);
    let start = out.len();
    out.extend(((start - vtable) as i32).to_le_bytes());
    let mut places = Vec::with_capacity(table.0.len());
    for (number, field) in &table.0 {
        let bytes = match field {
            Field::Number(bytes) => bytes.clone(),
            _ => vec![0; 4],
        };
        align(out, bytes.len().max(1));
        let at = out.len();
        let slot = vtable + 4 + 2 * number;
        out[slot..slot + 2].copy_from_slice(&((at - start) as u16).to_le_bytes());
        out.extend(bytes);
        places.push(at);
    }
    let table_bytes = (out.len() - start) as u16;
    out[vtable..vtable + 2].copy_from_slice(&(vtable_bytes as u16).to_le_bytes());
    out[vtable + 2..vtable + 4].copy_from_slice(&table_bytes.to_le_bytes());
    for ((_, field), at) in table.0.iter().zip(places) {
        let target = match field {
            Field::Number(_) => continue,
            Field::Table(table) => write_table(out, table),
            Field::Numbers { size, align, bytes } => {
                write_vector(out, bytes, bytes.len() / size, *align)
            }
            Field::Text(text) => {
                let place = write_vector(out, text.as_bytes(), text.len(), 4);
                out.push(0);
                place
            }
            Field::Tables(tables) => {
                let list = write_vector(out, &vec![0; 4 * tables.len()], tables.len(), 4);
                for (index, table) in tables.iter().enumerate() {
                    let target = write_table(out, table);
                    point(out, list + 4 + 4 * index, target);
                }
                list
            }
        };
        point(out, at, target);
    }
    start
}

/// Writes a vector whose elements are aligned; gives the place of its length.
fn write_vector(out: &mut Vec<u8>, bytes: &[u8], count: usize, alignment: usize) -> usize {
    align(out, 4);
    while !(out.len() + 4).is_multiple_of(alignment) {
        out.push(0);
    }
    let place = out.len();
    out.extend((count as u32).to_le_bytes());
    out.extend(bytes);
    place
}
