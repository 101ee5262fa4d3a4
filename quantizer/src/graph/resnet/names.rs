//! The names of networks: `resnet8-fashion`, or a family, a depth and perhaps a shortcut, as in
//! `resnet20`, `plain56`, `preact-resnet164` and `resnet34-c`.

use super::{Activation, Block, ResNetSpec, Shortcut};
use crate::graph::GraphError;

/// Networks by name, in the order in which they are listed. [`by_name`] knows them all, each also
/// with the shortcut that a suffix chooses.
pub const NAMES: [&str; 28] = [
    "resnet8",
    "resnet8-fashion",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "resnet164",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "plain20",
    "plain32",
    "plain44",
    "plain56",
    "plain110",
    "plain18",
    "plain34",
    "preact-resnet20",
    "preact-resnet56",
    "preact-resnet110",
    "preact-resnet164",
    "preact-resnet18",
    "preact-resnet50",
    "preact-resnet152",
    "preact-resnet200",
];

const BOTTLENECK: Block = Block::Bottleneck { stride_on_3x3: true };

/// The network of that name, to be changed at will before it is built.
///
/// `resnet8` is MLPerf Tiny's shape (32x32x3, 10 classes), `resnet8-fashion` the same on 28x28x1;
/// 20 to 110 are the CIFAR networks of 2015 with option A, 164 that of 2016 with bottlenecks; 18 to
/// 200 the ImageNet networks with option B. `plain` is without shortcuts, `preact-` has its
/// activations before its convolutions, and projects where the shape changes, as the code of 2016
/// does. A suffix `-a`, `-b` or `-c` chooses the option of the shortcut.
pub fn by_name(name: &str) -> Result<ResNetSpec, GraphError> {
    let unknown = || GraphError::UnknownNetwork { name: name.into(), known: NAMES.join(", ") };
    let (bare, option) = match name.rsplit_once('-') {
        Some((bare, "a")) => (bare, Some(Shortcut::Pad)),
        Some((bare, "b")) => (bare, Some(Shortcut::Project)),
        Some((bare, "c")) => (bare, Some(Shortcut::ProjectAll)),
        _ => (name, None),
    };
    if !NAMES.contains(&bare) {
        return Err(unknown());
    }
    let (activation, family) = match bare.strip_prefix("preact-") {
        Some(family) => (Activation::Before, family),
        None => (Activation::After, bare),
    };
    let (plain, depth) = match family.strip_prefix("plain") {
        Some(depth) => (true, depth),
        None => (false, family.strip_prefix("resnet").unwrap_or(family)),
    };
    let mut spec = of_depth(depth).ok_or_else(unknown)?;
    spec.activation = activation;
    if activation == Activation::Before {
        spec.shortcut = Shortcut::Project;
    }
    spec.shortcut = match option {
        Some(_) if plain => return Err(unknown()),
        Some(option) => option,
        None if plain => Shortcut::Plain,
        None => spec.shortcut,
    };
    spec.name = name.into();
    Ok(spec)
}

/// The network of 2015 (164 and 200: of 2016) of that depth.
fn of_depth(depth: &str) -> Option<ResNetSpec> {
    let cifar = |n| Some(ResNetSpec::cifar(n, Shortcut::Pad));
    match depth {
        "8" => Some(ResNetSpec::cifar(1, Shortcut::Project)),
        "8-fashion" => {
            Some(ResNetSpec { input: [28, 28, 1], ..ResNetSpec::cifar(1, Shortcut::Project) })
        }
        "20" => cifar(3),
        "32" => cifar(5),
        "44" => cifar(7),
        "56" => cifar(9),
        "110" => cifar(18),
        "164" => Some(ResNetSpec { block: BOTTLENECK, ..ResNetSpec::cifar(18, Shortcut::Project) }),
        "18" => Some(ResNetSpec::imagenet(Block::Basic, [2, 2, 2, 2])),
        "34" => Some(ResNetSpec::imagenet(Block::Basic, [3, 4, 6, 3])),
        "50" => Some(ResNetSpec::imagenet(BOTTLENECK, [3, 4, 6, 3])),
        "101" => Some(ResNetSpec::imagenet(BOTTLENECK, [3, 4, 23, 3])),
        "152" => Some(ResNetSpec::imagenet(BOTTLENECK, [3, 8, 36, 3])),
        "200" => Some(ResNetSpec::imagenet(BOTTLENECK, [3, 24, 36, 3])),
        _ => None,
    }
}
