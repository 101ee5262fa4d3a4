//! Augmentation pixel by pixel, against what the papers say of each.

use super::*;

/// Byte `v` becomes `v / 2 + 1`, exactly.
fn halves(channels: usize) -> Table {
    Table::new(&Normalization {
        mean: vec![-2.0 / 255.0; channels],
        std: vec![2.0 / 255.0; channels],
    })
}

/// Each output pixel by the definition: shifted, padded, mirrored.
fn expected_crop(
    table: &Table,
    image: &[u8],
    [rows, columns, channels]: [usize; 3],
    pad: isize,
    shift: [isize; 2],
    mirror: bool,
) -> Vec<f32> {
    let (rows, columns, channels) = (rows as isize, columns as isize, channels as isize);
    let mut out = Vec::new();
    for y in 0..rows {
        for x in 0..columns {
            let x = if mirror { columns - 1 - x } else { x };
            let (y, x) = (y + shift[0] - pad, x + shift[1] - pad);
            let inside = (0..rows).contains(&y) && (0..columns).contains(&x);
            for c in 0..channels {
                let value = inside.then(|| image[((y * columns + x) * channels + c) as usize]);
                out.push(value.map_or(0.0, |value| table.0[c as usize][usize::from(value)]));
            }
        }
    }
    out
}

#[track_caller]
fn check_crop(shape @ [rows, columns, channels]: [usize; 3], pad: usize) {
    let image: Vec<u8> = (1..=rows * columns * channels).map(|v| v as u8).collect();
    let table = halves(channels);
    for y in 0..=2 * pad {
        for x in 0..=2 * pad {
            for mirror in [false, true] {
                let mut out = vec![f32::NAN; image.len()];
                crop(&table, &image, shape, pad, [y, x], mirror, &mut out);
                let (signed_pad, shift) = (pad as isize, [y as isize, x as isize]);
                let expected = expected_crop(&table, &image, shape, signed_pad, shift, mirror);
                assert_eq!(out, expected, "{shape:?}, pad {pad}, shift {y} {x}, mirror {mirror}");
            }
        }
    }
}

#[test]
fn crops_are_shifted_zero_padded_and_mirrored() {
    // More padding than image: some crops see nothing of it.
    for shape in [[1, 1, 1], [2, 3, 1], [3, 2, 2], [2, 3, 3], [4, 5, 3]] {
        [0, 1, 3, 6].into_iter().for_each(|pad| check_crop(shape, pad));
    }
}

#[test]
fn the_table_has_the_bits_of_the_normalization() {
    let (mean, std) = (vec![0.4914, 0.4822, 0.4465], vec![0.247, 0.2435, 0.2616]);
    let normalization = Normalization { mean, std };
    let table = Table::new(&normalization);
    let pixels: Vec<u8> = (0..=255).flat_map(|v| [v, v ^ 0x55, 255 - v]).collect();
    let [mut found, mut expected] = [vec![0.0; pixels.len()], vec![0.0; pixels.len()]];
    table.row(&pixels, false, &mut found);
    normalization.apply(&pixels, &mut expected);
    assert_eq!(found, expected);
}

#[track_caller]
fn check_cutout(centre: [usize; 2], side: usize, expected: [&str; 4]) {
    let mut image = [1.0; 4 * 5 * 2];
    cutout([4, 5, 2], centre, side, &mut image);
    let zero = |row: &[f32]| -> String {
        row.chunks(2).map(|pixel| if pixel == [0.0; 2] { '.' } else { '#' }).collect()
    };
    let found: Vec<String> = image.chunks(10).map(zero).collect();
    assert_eq!(found, expected, "centre {centre:?}, side {side}");
}

#[test]
fn cutout_blanks_a_square_as_far_as_it_lies_within() {
    // The rule of the paper's code: from the centre less half the side, for the side's length.
    check_cutout([1, 2], 2, ["#..##", "#..##", "#####", "#####"]);
    check_cutout([1, 2], 1, ["#####", "##.##", "#####", "#####"]);
    check_cutout([0, 0], 2, [".####", "#####", "#####", "#####"]);
    check_cutout([3, 4], 4, ["#####", "##...", "##...", "##..."]);
    check_cutout([2, 2], 99, ["....."; 4]);
}

#[test]
fn mixup_takes_the_share_of_both_partners() {
    let mut batch = [1.0, 2.0, 10.0, 20.0, 100.0, 200.0];
    mixup(0.75, 2, &mut batch);
    // The one in the middle is its own partner.
    assert_eq!(batch, [25.75, 51.5, 10.0, 20.0, 75.25, 150.5]);
    let mut alone = [3.0, 4.0];
    mixup(0.25, 2, &mut alone);
    assert_eq!(alone, [3.0, 4.0]);
}

/// `Beta(alpha, alpha)` has the mean 1/2 and the variance 1 / (4 (2 alpha + 1)).
#[track_caller]
fn check_shares(alpha: f64) {
    let augmentation = augmentation(|it| it.mixup_alpha = alpha);
    let count = 4000;
    let shares: Vec<f64> =
        (0..count).map(|step| augmentation.mixup_share(3, step).unwrap().into()).collect();
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
    let mean = shares.iter().sum::<f64>() / count as f64;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / count as f64;
    let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
    // Five standard errors of the mean; a tenth of the variance.
    assert!((mean - 0.5).abs() < 5.0 * (expected / count as f64).sqrt(), "alpha {alpha}: {mean}");
    assert!((variance / expected - 1.0).abs() < 0.1, "alpha {alpha}: {variance}, {expected}");
    assert_eq!(augmentation.mixup_share(3, 7), augmentation.mixup_share(3, 7));
    assert_ne!(augmentation.mixup_share(3, 7), augmentation.mixup_share(4, 7));
}

#[test]
fn shares_follow_the_papers_distribution() {
    [0.2, 1.0, 4.0].into_iter().for_each(check_shares);
    assert_eq!(augmentation(|_| {}).mixup_share(0, 0), None);
}

fn augmentation(change: impl FnOnce(&mut Augmentation)) -> Augmentation {
    let mut it = Augmentation {
        seed: 1,
        crop_padding: 0,
        crop_area_min: 0.08,
        flip: false,
        cutout: 0,
        mixup_alpha: 0.0,
    };
    change(&mut it);
    it
}

/// All crops lie within the image, at whole pixels, in the proportions asked for.
#[track_caller]
fn check_regions(size: [usize; 2], area_min: f64) {
    let [rows, columns] = size.map(|side| side as f64);
    for seed in 0..300 {
        let region = random_region(size, area_min, &mut generator(seed, 0, None));
        let Region { top, left, height, width } = region;
        let whole = [top, left, height, width].iter().all(|v| v.fract() == 0.0 && *v >= 0.0);
        assert!(whole && height >= 1.0 && width >= 1.0, "{size:?}: {region:?}");
        assert!(top + height <= rows && left + width <= columns, "{size:?}: {region:?}");
        let area = height * width / (rows * columns);
        // Rounding moves each side by half a pixel.
        let rounded = |value: f64| 0.5 / height + 0.5 / width + value;
        assert!(area >= area_min - rounded(0.0), "{size:?}: {region:?}, {area}");
        let aspect = width / height;
        let slack = 1.0 + rounded(0.0);
        assert!(aspect <= 4.0 / 3.0 * slack && aspect >= 0.75 / slack, "{size:?}: {region:?}");
    }
}

#[test]
fn random_crops_are_szegedys() {
    for size in [[300, 400], [400, 300], [64, 64], [224, 225]] {
        [0.08, 0.5, 1.0].into_iter().for_each(|area_min| check_regions(size, area_min));
    }
    // Shares `a` of the area are uniform, and drawn again where they do not fit into a square: a
    // proportion fits with probability `min(1, -ln a / ln(4/3))`.
    let (mut weights, mut weighted) = (0.0, 0.0);
    for step in 0..100_000 {
        let area = 0.08 + 0.92 * (f64::from(step) + 0.5) / 1e5;
        let fits = (-area.ln() / (4.0_f64 / 3.0).ln()).min(1.0);
        (weights, weighted) = (weights + fits, weighted + area * fits);
    }
    let mut rng = generator(5, 0, None);
    let areas = (0..4000).map(|_| random_region([4000, 4000], 0.08, &mut rng));
    let mean = areas.map(|r| r.height * r.width / 16e6).sum::<f64>() / 4000.0;
    // Five standard errors, with the deviation of the wider distribution that is uniform.
    let bound = 5.0 * 0.92 / (12.0_f64 * 4000.0).sqrt();
    assert!((mean - weighted / weights).abs() < bound, "{mean}, {}", weighted / weights);
}

/// What no draw fits into: the centre, within the proportions.
#[track_caller]
fn check_fallback(size: [usize; 2], [top, left, height, width]: [f64; 4]) {
    let found = random_region(size, 1.0, &mut generator(0, 0, None));
    assert_eq!(found, Region { top, left, height, width }, "{size:?}");
}

#[test]
fn narrow_images_are_cropped_about_the_centre() {
    check_fallback([1, 1000], [0.0, 499.0, 1.0, 1.0]);
    check_fallback([90, 600], [0.0, 240.0, 90.0, 120.0]);
    check_fallback([600, 90], [240.0, 0.0, 120.0, 90.0]);
    check_fallback([1, 1], [0.0, 0.0, 1.0, 1.0]);
}

#[test]
fn orders_differ_by_epoch_and_repeat() {
    let order = |seed, epoch| {
        let mut indices = vec![9; 100];
        order(seed, epoch, &mut indices);
        indices
    };
    let first = order(1, 0);
    assert_eq!(first, order(1, 0));
    assert_ne!(first, order(1, 1));
    assert_ne!(first, order(2, 0));
    let mut sorted = first;
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..100));
}
