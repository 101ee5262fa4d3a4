@ What the kernels on Armv7E-M have in common: the step of their products, and the profile `tflite`.
@
@ A step is four channels of two tiles (or pixels) and of two outputs, two int16 a word: 2 loads and
@ 8 SMLAD for 16 products. SMUAD and SMLAD keep the lower 32 bits of a sum, so that sums are modulo
@ 2^32 for any int16, two products of 2^30 included; that they mean something in the end is proven
@ in the header of each kernel's file in `packed`.
    .syntax unified
    .arch armv7e-m
    .fpu fpv4-sp-d16
    .thumb

@ Four channels of two tiles and two outputs: r2-r5 accumulators (output 0 of tiles 0 and 1, output
@ 1 of tiles 0 and 1), r6-r9 inputs, r10-r12, lr weights.
    .macro dual_multiply first
    .if \first
    smuad   r2, r6, r10
    smuad   r3, r8, r10
    smuad   r4, r6, r12
    smuad   r5, r8, r12
    .else
    smlad   r2, r6, r10, r2
    smlad   r3, r8, r10, r3
    smlad   r4, r6, r12, r4
    smlad   r5, r8, r12, r5
    .endif
    smlad   r2, r7, r11, r2
    smlad   r3, r9, r11, r3
    smlad   r4, r7, lr, r4
    smlad   r5, r9, lr, r5
    .endm

@ The same of the next inputs at r0 and weights at r1. 40 bytes.
    .macro dual_step first
    ldm     r0!, {r6-r9}
    ldm     r1!, {r10-r12, lr}
    dual_multiply \first
    .endm

@ The profile `tflite`, by the header of `packed/constants.rs`. The last word of a channel in \last
@ becomes what is added to the upper half of a product, and its shift goes to \shift.
    .macro tflite_constants last, shift
    and     \shift, \last, #31
    sub     \last, \last, \shift
    add     \last, \last, #16
    .endm

@ \value becomes its product with \scale and the \addend, less 32 where it is negative: to be
@ shifted right. \t is free.
    .macro tflite_scale value, scale, addend, t
    asr     \t, \value, #31
    add     \t, \addend, \t, lsl #5
    smmla   \value, \value, \scale, \t
    .endm
