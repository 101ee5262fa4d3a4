//! Reads a pickle without running it: a stack machine over plain values.
//!
//! A pickle is a program, and Python's reader calls whatever it names. This one knows the few
//! operations and names that tensors in containers need (the table in [`Global::find`]) and
//! refuses every other by name. Values lie in one arena and refer to each other by index, so depth
//! costs no stack, cycles no memory, and each operation adds a bounded number of values.

use super::error::{Fault, PickleProblem};
use super::opcode as op;
use super::tensor::{Dtype, View};
use std::collections::HashMap;

/// Operations of one pickle; a checkpoint of ResNet-152 with its optimizer has some 100,000.
const OPERATIONS_MAX: usize = 1 << 22;

/// A value. Containers and tensors lie in [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Global(Global),
    /// A tuple or a list.
    Sequence(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// The names that a pickle may refer to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_v2`.
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::Bf16),
            ("torch", "DoubleStorage") => Self::Storage(Dtype::Other("f64", 8)),
            ("torch", "LongStorage") => Self::Storage(Dtype::Other("i64", 8)),
            ("torch", "IntStorage") => Self::Storage(Dtype::Other("i32", 4)),
            ("torch", "ShortStorage") => Self::Storage(Dtype::Other("i16", 2)),
            ("torch", "CharStorage") => Self::Storage(Dtype::Other("i8", 1)),
            ("torch", "ByteStorage") => Self::Storage(Dtype::Other("u8", 1)),
            ("torch", "BoolStorage") => Self::Storage(Dtype::Other("bool", 1)),
            _ => return None,
        })
    }
}

/// Elements that lie elsewhere in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct StorageRef<'a> {
    pub(super) key: &'a str,
    pub(super) dtype: Dtype,
    pub(super) elements: usize,
}

/// A tensor: a storage's index and the view of it.
#[derive(Clone, Debug)]
pub(super) struct TensorRef {
    pub(super) storage: usize,
    pub(super) view: View,
}

/// What a pickle says.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) root: Value<'a>,
    /// How many bytes it has.
    pub(super) bytes: usize,
    pub(super) storages: Vec<StorageRef<'a>>,
    pub(super) tensors: Vec<TensorRef>,
    sequences: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` begin with.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault<PickleProblem>> {
        let pickle = Self {
            root: Value::None,
            bytes: 0,
            storages: Vec::new(),
            tensors: Vec::new(),
            sequences: Vec::new(),
            dicts: Vec::new(),
        };
        let (stack, marks, memo) = (Vec::new(), Vec::new(), HashMap::new());
        let mut machine = Machine { bytes, at: 0, pickle, stack, marks, memo };
        for _ in 0..OPERATIONS_MAX {
            let at = machine.at;
            let fault = |problem| Fault { at, problem };
            let code = machine.array::<1>().map_err(fault)?[0];
            if code == op::STOP {
                machine.pickle.root = machine.pop(STOP_WANTS).map_err(fault)?;
                machine.pickle.bytes = machine.at;
                return Ok(machine.pickle);
            }
            machine.step(code).map_err(fault)?;
        }
        Err(Fault { at: machine.at, problem: PickleProblem::TooLong(OPERATIONS_MAX) })
    }

    /// The elements of a tuple or list.
    pub(super) fn sequence(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        let Value::Sequence(index) = value else { return None };
        self.sequences.get(index).map(Vec::as_slice)
    }

    /// The entries of a dictionary, as they were set.
    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        let Value::Dict(index) = value else { return None };
        self.dicts.get(index).map(Vec::as_slice)
    }

    /// What a dictionary has under a key of text.
    pub(super) fn get(&self, dict: Value<'a>, key: &str) -> Option<Value<'a>> {
        let entries = self.dict(dict)?.iter();
        entries.rev().find(|(found, _)| *found == Value::Text(key)).map(|(_, value)| *value)
    }

    fn sizes(&self, value: Value<'a>) -> Option<Vec<usize>> {
        const DIMENSIONS_MAX: usize = 16;
        let values = self.sequence(value).filter(|values| values.len() <= DIMENSIONS_MAX)?;
        values.iter().map(|&value| size(value)).collect()
    }
}

const STOP_WANTS: (&str, &str) = ("STOP", "one value");

fn size(value: Value<'_>) -> Option<usize> {
    let Value::Int(value) = value else { return None };
    usize::try_from(value).ok()
}

type Outcome<T = ()> = Result<T, PickleProblem>;

/// An operation, and what it needs.
type Wants = (&'static str, &'static str);

fn operand<T>(found: Option<T>, (operation, expected): Wants) -> Outcome<T> {
    found.ok_or(PickleProblem::Operand { operation, expected })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    pickle: Pickle<'a>,
    stack: Vec<Value<'a>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<usize, Value<'a>>,
}

impl<'a> Machine<'a> {
    fn slice(&mut self, length: usize) -> Outcome<&'a [u8]> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let found = found.ok_or(PickleProblem::End)?;
        self.at += length;
        Ok(found)
    }

    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        self.slice(N)?.first_chunk().copied().ok_or(PickleProblem::End)
    }

    fn u32(&mut self) -> Outcome<usize> {
        let value = u32::from_le_bytes(self.array()?);
        usize::try_from(value).map_err(|_| PickleProblem::End)
    }

    fn text(&mut self, length: usize) -> Outcome {
        let text = std::str::from_utf8(self.slice(length)?).map_err(|_| PickleProblem::Text)?;
        self.push(Value::Text(text))
    }

    /// A line of text, without its end.
    fn line(&mut self) -> Outcome<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(PickleProblem::End)?;
        let line = self.slice(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|_| PickleProblem::Text)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the last thing that most operations do")]
    fn push(&mut self, value: Value<'a>) -> Outcome {
        self.stack.push(value);
        Ok(())
    }

    /// The topmost value above the last mark.
    fn pop(&mut self, wants: Wants) -> Outcome<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        operand((self.stack.len() > floor).then(|| self.stack.pop()).flatten(), wants)
    }

    /// All values above the last mark, which is taken away.
    fn pop_mark(&mut self, operation: &'static str) -> Outcome<Vec<Value<'a>>> {
        let mark = operand(self.marks.pop(), (operation, "a mark"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn sequence(&mut self, values: Vec<Value<'a>>) -> Outcome {
        self.pickle.sequences.push(values);
        self.push(Value::Sequence(self.pickle.sequences.len() - 1))
    }

    fn tuple(&mut self, length: usize) -> Outcome {
        let mut values = Vec::with_capacity(length);
        for _ in 0..length {
            values.push(self.pop(("TUPLE", "as many values"))?);
        }
        values.reverse();
        self.sequence(values)
    }

    fn new_dict(&mut self, entries: Vec<(Value<'a>, Value<'a>)>) -> Outcome {
        self.pickle.dicts.push(entries);
        self.push(Value::Dict(self.pickle.dicts.len() - 1))
    }

    /// Keys and values that stand one after another.
    fn pairs(
        values: &[Value<'a>],
        operation: &'static str,
    ) -> Outcome<Vec<(Value<'a>, Value<'a>)>> {
        let (pairs, rest) = values.as_chunks::<2>();
        operand(rest.is_empty().then_some(()), (operation, "a value for each key"))?;
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    fn set(&mut self, values: &[Value<'a>], operation: &'static str) -> Outcome {
        const EXPECTED: &str = "a dictionary below its keys and values";
        let pairs = Self::pairs(values, operation)?;
        let top = self.pop((operation, EXPECTED))?;
        let Value::Dict(index) = top else {
            return Err(PickleProblem::Operand { operation, expected: EXPECTED });
        };
        operand(self.pickle.dicts.get_mut(index), (operation, EXPECTED))?.extend(pairs);
        self.push(top)
    }

    fn append(&mut self, values: Vec<Value<'a>>, operation: &'static str) -> Outcome {
        const EXPECTED: &str = "a list below its values";
        let top = self.pop((operation, EXPECTED))?;
        let Value::Sequence(index) = top else {
            return Err(PickleProblem::Operand { operation, expected: EXPECTED });
        };
        operand(self.pickle.sequences.get_mut(index), (operation, EXPECTED))?.extend(values);
        self.push(top)
    }

    fn step(&mut self, code: u8) -> Outcome {
        match code {
            op::PROTO => self.slice(1).map(|_| ()),
            op::FRAME => self.slice(8).map(|_| ()),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => self.pop(("POP", "a value")).map(|_| ()),
            op::POP_MARK => self.pop_mark("POP_MARK").map(|_| ()),
            op::DUP => {
                let value = self.pop(("DUP", "a value"))?;
                self.push(value)?;
                self.push(value)
            }
            op::NONE => self.push(Value::None),
            op::NEWTRUE | op::NEWFALSE => self.push(Value::Bool(code == op::NEWTRUE)),
            op::EMPTY_TUPLE | op::EMPTY_LIST => self.sequence(Vec::new()),
            op::TUPLE | op::LIST => {
                let values = self.pop_mark("TUPLE or LIST")?;
                self.sequence(values)
            }
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => self.tuple(usize::from(code - op::TUPLE1) + 1),
            op::EMPTY_DICT => self.new_dict(Vec::new()),
            op::DICT => {
                let values = self.pop_mark("DICT")?;
                self.new_dict(Self::pairs(&values, "DICT")?)
            }
            op::SETITEM => {
                let value = self.pop(("SETITEM", "a value"))?;
                let key = self.pop(("SETITEM", "a key"))?;
                self.set(&[key, value], "SETITEM")
            }
            op::SETITEMS => {
                let values = self.pop_mark("SETITEMS")?;
                self.set(&values, "SETITEMS")
            }
            op::APPEND => {
                let value = self.pop(("APPEND", "a value"))?;
                self.append(vec![value], "APPEND")
            }
            op::APPENDS => {
                let values = self.pop_mark("APPENDS")?;
                self.append(values, "APPENDS")
            }
            op::GLOBAL | op::STACK_GLOBAL | op::REDUCE | op::BUILD | op::BINPERSID => {
                self.refer(code)
            }
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE | op::BINGET | op::LONG_BINGET => {
                self.remember(code)
            }
            _ => self.literal(code),
        }
    }

    fn literal(&mut self, code: u8) -> Outcome {
        match code {
            op::BININT => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))
            }
            op::BININT1 => {
                let [value] = self.array()?;
                self.push(Value::Int(value.into()))
            }
            op::BININT2 => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))
            }
            op::LONG1 => {
                let [length] = self.array()?;
                let digits = self.slice(length.into())?;
                let mut value = [0; 8];
                // Longer ones are no sizes; the first bytes are least.
                let expected = ("LONG1", "a number of 64 bits");
                let fits = value.get_mut(..digits.len());
                operand(fits, expected)?.copy_from_slice(digits);
                let unused = 64 - 8 * digits.len() as u32;
                let value = if unused == 64 { 0 } else { i64::from_le_bytes(value) << unused };
                self.push(Value::Int(value >> (unused % 64)))
            }
            op::BINFLOAT => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(value))
            }
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING => {
                let [length] = self.array()?;
                self.text(length.into())
            }
            op::BINUNICODE | op::BINSTRING => {
                let length = self.u32()?;
                self.text(length)
            }
            op::BINUNICODE8 => {
                let length = u64::from_le_bytes(self.array()?);
                self.text(usize::try_from(length).map_err(|_| PickleProblem::End)?)
            }
            _ => Err(PickleProblem::Opcode { code, name: op::refused_name(code) }),
        }
    }

    fn remember(&mut self, code: u8) -> Outcome {
        let key = match code {
            op::BINPUT | op::BINGET => self.array::<1>()?[0].into(),
            op::MEMOIZE => self.memo.len(),
            _ => self.u32()?,
        };
        if matches!(code, op::BINGET | op::LONG_BINGET) {
            let value = self.memo.get(&key).copied();
            return self.push(operand(value, ("GET", "a value that was put"))?);
        }
        let wants = ("PUT", "a value");
        let value = self.pop(wants)?;
        self.memo.insert(key, value);
        self.push(value)
    }

    fn refer(&mut self, code: u8) -> Outcome {
        match code {
            op::GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)
            }
            op::STACK_GLOBAL => {
                let wants = ("STACK_GLOBAL", "two texts");
                match (self.pop(wants)?, self.pop(wants)?) {
                    (Value::Text(name), Value::Text(module)) => self.global(module, name),
                    _ => operand(None, wants),
                }
            }
            op::BUILD => {
                // The attributes of an OrderedDict: a state dict keeps `_metadata` there, the
                // versions of its modules' layouts, and no tensor.
                let wants = ("BUILD", "an OrderedDict and its attributes");
                let (state, object) = (self.pop(wants)?, self.pop(wants)?);
                match (state, object) {
                    (Value::Dict(_) | Value::None, Value::Dict(_)) => self.push(object),
                    _ => operand(None, wants),
                }
            }
            op::BINPERSID => {
                let id = self.pop(("BINPERSID", "an identifier"))?;
                self.storage(id)
            }
            _ => {
                let wants = ("REDUCE", "a global and a tuple");
                let (arguments, function) = (self.pop(wants)?, self.pop(wants)?);
                match function {
                    Value::Global(global) => self.call(global, arguments),
                    _ => operand(None, wants),
                }
            }
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Outcome {
        const SHOWN: usize = 120;
        let refused = || {
            let full = format!("{module}.{name}");
            PickleProblem::Global(full.chars().take(SHOWN).collect())
        };
        self.push(Value::Global(Global::find(module, name).ok_or_else(refused)?))
    }

    /// `('storage', torch.FloatStorage, key, location, elements)`, in old files with a `None`.
    fn storage(&mut self, id: Value<'a>) -> Outcome {
        let wants = ("BINPERSID", "('storage', type, key, location, elements)");
        let fields = operand(self.pickle.sequence(id), wants)?;
        let storage = match *fields {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                elements,
            ]
            | [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                elements,
                Value::None,
            ] => size(elements).map(|elements| StorageRef { key, dtype, elements }),
            _ => None,
        };
        self.pickle.storages.push(operand(storage, wants)?);
        self.push(Value::Storage(self.pickle.storages.len() - 1))
    }

    fn call(&mut self, global: Global, arguments: Value<'a>) -> Outcome {
        let wants = ("REDUCE", "a tuple of arguments");
        let arguments = operand(self.pickle.sequence(arguments), wants)?;
        match (global, arguments) {
            (Global::OrderedDict, []) => self.new_dict(Vec::new()),
            (Global::OrderedDict, &[list]) => {
                let wants = ("OrderedDict", "pairs");
                let pairs = operand(self.pickle.sequence(list), wants)?.iter();
                let pairs = pairs.map(|&pair| match self.pickle.sequence(pair) {
                    Some(&[key, value]) => Some((key, value)),
                    _ => None,
                });
                let entries = operand(pairs.collect::<Option<Vec<_>>>(), wants)?;
                self.new_dict(entries)
            }
            // Behind these: whether a gradient is wanted, hooks, and metadata of the class.
            (Global::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                let wants = ("_rebuild_tensor", "a storage, its offset, sizes and strides");
                let Value::Storage(storage) = storage else { return operand(None, wants) };
                let view = View {
                    offset: operand(size(offset), wants)?,
                    shape: operand(self.pickle.sizes(shape), wants)?,
                    strides: operand(self.pickle.sizes(strides), wants)?,
                };
                self.pickle.tensors.push(TensorRef { storage, view });
                self.push(Value::Tensor(self.pickle.tensors.len() - 1))
            }
            (Global::RebuildParameter, &[tensor @ Value::Tensor(_), ..]) => self.push(tensor),
            _ => operand(None, ("REDUCE", "the arguments of its function")),
        }
    }
}
