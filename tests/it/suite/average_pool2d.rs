//! Average pooling.

use super::{Build, Case, check_all, random_clamp, random_sliding};
use crate::oracle::positions;
use crate::rng::Rng;
use resmcu_quantizer::quantized::{Dtype, Profile, QuantizedOp, Sliding, TensorId};

fn pool(rng: &mut Rng, input: [usize; 3], sliding: Sliding, clamp: [i8; 2]) -> Case {
    let mut build = Build::new(Profile::Tflite, input);
    let [rows, columns] = positions(input, &sliding);
    let op = QuantizedOp::AveragePool2d { input: TensorId(0), sliding, clamp };
    build.push_i8(op, [rows, columns, input[2]]);
    build.random_case(format!("average pool {input:?}, {sliding:?}, {clamp:?}"), rng)
}

/// The same over the whole image, by its sums.
fn pool_of_sums(rng: &mut Rng, input: [usize; 3], clamp: [i8; 2]) -> Case {
    let mut build = Build::new(Profile::Tflite, input);
    let [height, width, channels] = input;
    let sum = QuantizedOp::GlobalSum { input: TensorId(0) };
    build.push(sum, [1, 1, channels], Dtype::I16, 0);
    let sliding = Sliding { size: [height, width], stride: [1, 1], padding: [0; 4] };
    let op = QuantizedOp::AveragePool2d { input: TensorId(1), sliding, clamp };
    build.push_i8(op, [1, 1, channels]);
    build.random_case(format!("average pool of sums of {input:?}, {clamp:?}"), rng)
}

pub(super) fn edges() -> Vec<Case> {
    let mut rng = Rng::new(0x900);
    let all = [-128, 127];
    let square =
        |size, stride, padding| Sliding { size: [size, size], stride: [stride, stride], padding };
    vec![
        pool(&mut rng, [1, 1, 1], square(1, 1, [0; 4]), all),
        pool(&mut rng, [8, 8, 64], square(8, 8, [0; 4]), all),
        // Ties.
        pool(&mut rng, [2, 1, 3], Sliding { size: [2, 1], stride: [1, 1], padding: [0; 4] }, all),
        pool(&mut rng, [4, 4, 5], square(2, 2, [0; 4]), all),
        pool(&mut rng, [7, 7, 3], square(3, 2, [0, 0, 1, 1]), all),
        pool(&mut rng, [7, 7, 3], square(3, 2, [1, 1, 1, 1]), [0, 127]),
        pool(&mut rng, [2, 2, 2], square(5, 1, [2, 2, 2, 2]), all), // wider than the input
        pool(
            &mut rng,
            [5, 3, 1],
            Sliding { size: [2, 3], stride: [3, 1], padding: [1, 2, 0, 2] },
            all,
        ),
        pool(&mut rng, [3, 3, 1], square(3, 1, [2, 2, 2, 2]), [5, 5]),
        // More channels than are summed up at once, and one block of them.
        pool(&mut rng, [3, 2, 67], square(2, 1, [1, 0, 0, 1]), all),
        pool(&mut rng, [4, 4, 130], square(4, 4, [0; 4]), [-100, 100]),
        pool_of_sums(&mut rng, [1, 1, 1], all),
        pool_of_sums(&mut rng, [2, 1, 64], all), // ties
        pool_of_sums(&mut rng, [16, 16, 5], all),
        pool_of_sums(&mut rng, [7, 7, 12], [-3, 4]),
    ]
}

pub(super) fn random(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let input = [rng.size(1, 9), rng.size(1, 9), rng.size(1, 9)];
    let (sliding, _) = random_sliding(&mut rng, input, true);
    let clamp = random_clamp(&mut rng);
    pool(&mut rng, input, sliding, clamp)
}

#[test]
fn average_pools_are_the_oracles() {
    check_all(&edges(), 400, random);
}
