//! What `torch.save` writes: a zip archive since `PyTorch` 1.6, before that pickles and storages
//! one after another. The state dict is looked for in both.

use super::error::{ArchiveProblem, Fault, PickleProblem, StateDictError, TensorProblem};
use super::pickle::{Pickle, StorageRef, Value};
use super::tensor::{StateDict, Tensor};
use super::zip::{self, Archive};
use std::collections::{HashMap, HashSet};

/// The first two pickles of a legacy file: a magic number and the protocol 1001.
const LEGACY: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";

/// Keys under which training scripts put the state dict, the first one first.
const NESTS: [&str; 5] = ["state_dict", "model_state_dict", "model", "net", "weights"];

/// The deepest nesting of these.
const DEPTH_MAX: usize = 4;

const BIG_ENDIAN: StateDictError =
    StateDictError::Kind("the file was written on a big-endian machine, which is not supported");

/// Whether the bytes begin as a file of `torch.save`.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    zip::is_one(bytes) || bytes.starts_with(LEGACY)
}

/// Reads a file of `torch.save`.
pub(super) fn read(bytes: &[u8]) -> Result<StateDict<'_>, StateDictError> {
    if zip::is_one(bytes) { from_archive(bytes) } else { from_legacy(bytes) }
}

fn from_archive(bytes: &[u8]) -> Result<StateDict<'_>, StateDictError> {
    const PICKLE: &str = "data.pkl";
    let archive = Archive::read(bytes).map_err(StateDictError::Archive)?;
    let get = |name: &str| archive.get(name).map_err(StateDictError::Archive);
    // `<any name>/data.pkl`
    let folder = archive.names().filter_map(|name| name.strip_suffix(PICKLE)).min();
    let missing = Fault { at: 0, problem: ArchiveProblem::Missing(PICKLE.to_owned()) };
    let folder = folder.ok_or(StateDictError::Archive(missing))?;
    if archive.has(&format!("{folder}constants.pkl")) {
        let problem = "a TorchScript archive holds a program; save the model's state_dict()";
        return Err(StateDictError::Kind(problem));
    }
    let order = format!("{folder}byteorder");
    if archive.has(&order) && get(&order)? != b"little" {
        return Err(BIG_ENDIAN);
    }
    let pickle =
        Pickle::read(get(&format!("{folder}{PICKLE}"))?).map_err(StateDictError::Pickle)?;
    let mut found = HashMap::new();
    for storage in &pickle.storages {
        // Two tensors of one storage refer to it twice.
        if !found.contains_key(storage.key) {
            found.insert(storage.key, get(&format!("{folder}data/{}", storage.key))?);
        }
    }
    collect(&pickle, &found)
}

fn from_legacy(bytes: &[u8]) -> Result<StateDict<'_>, StateDictError> {
    let mut at = LEGACY.len();
    let mut next = || {
        let rest = bytes.get(at..).unwrap_or_default();
        let pickle = Pickle::read(rest).map_err(|fault| Fault { at: fault.at + at, ..fault });
        let pickle = pickle.map_err(StateDictError::Pickle)?;
        at += pickle.bytes;
        Ok::<_, StateDictError>(pickle)
    };
    let system = next()?;
    if system.get(system.root, "little_endian") != Some(Value::Bool(true)) {
        return Err(BIG_ENDIAN);
    }
    let (pickle, keys) = (next()?, next()?);
    let described: HashMap<&str, &StorageRef<'_>> =
        pickle.storages.iter().map(|storage| (storage.key, storage)).collect();
    let mut found = HashMap::new();
    for &key in keys.sequence(keys.root).unwrap_or_default() {
        let wrong = |problem| StateDictError::Pickle(Fault { at, problem });
        let expected = ("the list of storages", "the keys of all storages");
        let problem = PickleProblem::Operand { operation: expected.0, expected: expected.1 };
        let Value::Text(key) = key else { return Err(wrong(problem)) };
        let storage = described.get(key).ok_or_else(|| wrong(problem))?;
        let rest = bytes.get(at..).unwrap_or_default();
        let (count, rest) = rest.split_first_chunk().ok_or_else(|| wrong(PickleProblem::End))?;
        let count = usize::try_from(u64::from_le_bytes(*count)).unwrap_or(usize::MAX);
        let length = count.checked_mul(storage.dtype.bytes());
        let data = length.and_then(|length| rest.get(..length));
        let data = data.ok_or_else(|| wrong(PickleProblem::End))?;
        at += 8 + data.len();
        found.insert(key, data);
    }
    collect(&pickle, &found)
}

/// The tensors of the state dict, and what stands beside it.
fn collect<'a>(
    pickle: &Pickle<'a>,
    storages: &HashMap<&'a str, &'a [u8]>,
) -> Result<StateDict<'a>, StateDictError> {
    let mut dict = StateDict::default();
    let (mut root, mut path) = (pickle.root, String::new());
    for _ in 0..DEPTH_MAX {
        let nest = |key: &&&str| pickle.get(root, key).is_some_and(|v| pickle.dict(v).is_some());
        let Some(nest) = NESTS.iter().find(nest) else { break };
        let beside = pickle.dict(root).unwrap_or_default().iter();
        for (key, _) in beside.filter(|(key, _)| *key != Value::Text(nest)) {
            dict.left_out.push(format!("{path}{}: not under `{nest}`", shown(*key)));
        }
        root = pickle.get(root, nest).unwrap_or(root);
        path = format!("{path}`{nest}` / ");
    }
    let none = |what: &str| StateDictError::NoStateDict(what.to_owned());
    let entries = pickle.dict(root).ok_or_else(|| none("the file holds no dictionary"))?;
    let mut names = HashSet::new();
    for &(key, value) in entries {
        match (key, value) {
            (Value::Text(name), Value::Tensor(index)) => {
                if !names.insert(name) {
                    let (name, problem) = (name.to_owned(), TensorProblem::Twice);
                    return Err(StateDictError::Tensor { name, problem });
                }
                dict.tensors.push(tensor(pickle, storages, name, index)?);
            }
            _ => dict.left_out.push(format!("{path}{}: not a tensor", shown(key))),
        }
    }
    let keys: Vec<String> = entries.iter().take(5).map(|(key, _)| shown(*key)).collect();
    if dict.tensors.is_empty() {
        return Err(none(&format!(
            "no tensor among {} entries: {}",
            entries.len(),
            keys.join(", ")
        )));
    }
    Ok(dict)
}

fn tensor<'a>(
    pickle: &Pickle<'a>,
    storages: &HashMap<&'a str, &'a [u8]>,
    name: &str,
    index: usize,
) -> Result<Tensor<'a>, StateDictError> {
    // The machine made both indices.
    let tensor = &pickle.tensors[index];
    let StorageRef { key, dtype, elements } = pickle.storages[tensor.storage];
    let data = storages.get(key).copied().unwrap_or_default();
    let expected = elements.saturating_mul(dtype.bytes());
    if data.len() != expected {
        let problem = TensorProblem::Storage { key: key.to_owned(), found: data.len(), expected };
        return Err(StateDictError::Tensor { name: name.to_owned(), problem });
    }
    Tensor::new(name, tensor.view.clone(), dtype, data)
}

/// A key as a report names it.
fn shown(key: Value<'_>) -> String {
    match key {
        Value::Text(text) => format!("`{}`", text.chars().take(80).collect::<String>()),
        Value::Int(number) => format!("`{number}`"),
        _ => "a key that is no text".to_owned(),
    }
}
