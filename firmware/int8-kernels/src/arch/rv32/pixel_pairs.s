# Two pixels in one MUL, on RV32IM: what `portable::pixel_pairs::sums` computes.
#
# A word holds x0 + 2^16 x1 of two pixels, so that one multiplication with a weight makes both
# products. Products of a segment of weights are added up in a word, while the lower sum stays inside
# of its 16 bits: while the absolute values of the segment's weights add up to 255 at most. Then the
# word is added to the sum of all words, and its upper half, rounded, to the sum of the second pixel;
# in the end the second times 2^16 taken from the first leaves the sum of the first pixel, modulo
# 2^32. Registers:
#   a0       inputs, two words for each weight: pixels 0 and 1, pixels 2 and 3
#   a1       weights of two outputs
#   a2       where the inputs end
#   a3       sums
#   a4       lengths of segments, a byte for each eight weights
#   t0-t3    a segment's words: output 0 of both inputs, output 1 of both
#   s0-s3    the sums of all words
#   s4-s7    the sums of the second pixels
#   s8       2^15, which rounds; s9, s10, s11: 4, 8, 2
#   a5, a6   inputs, a7 weight, t4, t5 free

# Adds \weight(a1) times both inputs to \a and \b.
    .macro resmcu_pixel_pairs_output weight, a, b, first
    lb      a7, \weight(a1)
    .if \first
    mul     \a, a7, a5
    mul     \b, a7, a6
    .else
    mul     t4, a7, a5
    add     \a, \a, t4
    mul     t4, a7, a6
    add     \b, \b, t4
    .endif
    .endm

# Weight \at of both outputs.
    .macro resmcu_pixel_pairs_weight at, first
    lw      a5, 8*(\at)(a0)
    lw      a6, 8*(\at)+4(a0)
    resmcu_pixel_pairs_output 2*(\at), t0, t1, \first
    resmcu_pixel_pairs_output 2*(\at)+1, t2, t3, \first
    .endm

# The end of a segment.
    .macro resmcu_pixel_pairs_spill word, all, second
    add     \all, \all, \word
    add     \word, \word, s8
    srai    \word, \word, 16
    add     \second, \second, \word
    .endm

# \count weights from \at on.
    .macro resmcu_pixel_pairs_segment at, count
    resmcu_pixel_pairs_weight \at, 1
    .if \count > 1
    resmcu_pixel_pairs_weight \at+1, 0
    .endif
    .if \count > 2
    resmcu_pixel_pairs_weight \at+2, 0
    resmcu_pixel_pairs_weight \at+3, 0
    .endif
    .if \count > 4
    resmcu_pixel_pairs_weight \at+4, 0
    resmcu_pixel_pairs_weight \at+5, 0
    resmcu_pixel_pairs_weight \at+6, 0
    resmcu_pixel_pairs_weight \at+7, 0
    .endif
    resmcu_pixel_pairs_spill t0, s0, s4
    resmcu_pixel_pairs_spill t1, s1, s5
    resmcu_pixel_pairs_spill t2, s2, s6
    resmcu_pixel_pairs_spill t3, s3, s7
    .endm

# Eight weights of both outputs, in segments of \count; \loop with the next ones, or on to 9.
    .macro resmcu_pixel_pairs_group count, loop
    .if \count == 1
    .irp at, 0, 1, 2, 3, 4, 5, 6, 7
    resmcu_pixel_pairs_segment \at, 1
    .endr
    .elseif \count == 2
    .irp at, 0, 2, 4, 6
    resmcu_pixel_pairs_segment \at, 2
    .endr
    .elseif \count == 4
    resmcu_pixel_pairs_segment 0, 4
    resmcu_pixel_pairs_segment 4, 4
    .else
    resmcu_pixel_pairs_segment 0, 8
    .endif
    addi    a0, a0, 64
    addi    a1, a1, 16
    bne     a0, a2, \loop
    j       9f
    .endm

# void resmcu_rv32_pixel_pairs(const u32 *x, const i8 *weights, const u32 *end, i32 *sums,
#                              const u8 *segments)
# Eight sums, `[output][pixel]`; a multiple of eight weights for each output.
    .section .text.resmcu_rv32_pixel_pairs, "ax", @progbits
    .balign 4
    .global resmcu_rv32_pixel_pairs
    .type resmcu_rv32_pixel_pairs, @function
resmcu_rv32_pixel_pairs:
    addi    sp, sp, -48
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7
    sw      s\i, 4*\i(sp)
    li      s\i, 0
    .endr
    sw      s8, 32(sp)
    sw      s9, 36(sp)
    sw      s10, 40(sp)
    sw      s11, 44(sp)
    li      s8, 0x8000
    li      s9, 4
    li      s10, 8
    li      s11, 2
1:  lbu     t5, 0(a4)
    addi    a4, a4, 1
    bne     t5, s9, 2f
    resmcu_pixel_pairs_group 4, 1b
2:  bne     t5, s10, 3f
    resmcu_pixel_pairs_group 8, 1b
3:  bne     t5, s11, 4f
    resmcu_pixel_pairs_group 2, 1b
4:  resmcu_pixel_pairs_group 1, 1b
9:
    slli    t0, s4, 16
    sub     s0, s0, t0
    sw      s0, 0(a3)
    sw      s4, 4(a3)
    slli    t0, s5, 16
    sub     s1, s1, t0
    sw      s1, 8(a3)
    sw      s5, 12(a3)
    slli    t0, s6, 16
    sub     s2, s2, t0
    sw      s2, 16(a3)
    sw      s6, 20(a3)
    slli    t0, s7, 16
    sub     s3, s3, t0
    sw      s3, 24(a3)
    sw      s7, 28(a3)
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    lw      s\i, 4*\i(sp)
    .endr
    addi    sp, sp, 48
    ret
    .size resmcu_rv32_pixel_pairs, . - resmcu_rv32_pixel_pairs
