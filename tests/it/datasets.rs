//! Real data through the readers, against checksums that another program made.

use resmcu_quantizer::data::{Source, Split};

use crate::golden::test_data;

/// The checksums are Python's `zlib.crc32` of the pixels, reordered there to `[N,H,W,C]`, and of
/// the labels.
#[test]
fn cifar_images_are_read_as_another_program_reads_them() {
    let Some(folder) = test_data("CIFAR-10 images against Python's reading") else { return };
    let source = Source::find(folder.join("cifar10-lossless").to_str().unwrap()).unwrap();
    let check = |split, images: usize, pixels_crc: u32, labels_crc: u32| {
        let set = source.load(split, None).unwrap();
        let labels: Vec<u8> = set.labels().iter().map(|&label| label as u8).collect();
        let found = (set.len(), crc32(&set.to_bytes().unwrap()), crc32(&labels));
        assert_eq!(found, (images, pixels_crc, labels_crc), "{split}");
    };
    check(Split::Train, 4000, 0xc157_fd26, 0xe880_0a48);
    check(Split::Test, 1000, 0x85d9_5033, 0xfbf5_f6e0);
}

fn crc32(bytes: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes)
}
