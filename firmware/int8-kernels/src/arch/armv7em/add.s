@ The usual add of the profile `tflite` on Armv7E-M: what `model::add` computes, four elements at a
@ time, of which one SMMLA is a product and the rounding's addend.
@
@ Nothing overflows. Inputs plus their offsets are at most 255, multipliers below 2^31, so that
@   o 2^22          of the other input o is below 2^30, the upper half of its product below 2^29,
@   1 + 2^e         with that below 2^31, as e <= 30; rescaled it is r, |r| <= |o| 2^20 < 2^28,
@   h 2^21 + 4 r    with the halved input h is below 3 * 2^29, the upper half below 3 * 2^28,
@   1 + 2^e + z 2^(e+1)   is below 2^30, as e <= 21, and with that below 2^31.
@ That one floor is both roundings is proven in `ops/add.rs`.

@ Element \k of the words \a, which is halved, and \b. Registers: r2 offset of the halved input; r3
@ offset, r4 multiplier, r5 addend, r6 shift of the other one; r7, r8, r9 those of the output; r12,
@ lr free.
    .macro add_element a, b, k
    sxtb    r12, \b, ror #8*\k
    add     r12, r3, r12, lsl #22
    asr     lr, r12, #31
    add     lr, r5, lr, lsl #1
    smmla   lr, r12, r4, lr
    asr     lr, lr, r6
    sxtb    r12, \a, ror #8*\k
    add     r12, r2, r12, lsl #21
    add     r12, r12, lr, lsl #2
    asr     lr, r12, #31
    add     lr, r8, lr, lsl #1
    smmla   lr, r12, r7, lr
    asr     lr, lr, r9
    ssat    lr, #8, lr
    .endm

@ void NAME(i8 *y, const i8 *other, const i8 *end of y, const constants *)
@ r0 y, r1 the other input, r10, r11 four elements of both, s0 where fours end, s1 the end. \a, \b:
@ r10 and r11, of which the first is the halved one.
    .macro add_in_place name, a, b
    .section .text.\name, "ax", %progbits
    .balign 4
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push    {r4-r11, lr}
    sub     r10, r2, r0
    bic     r10, r10, #3
    add     r10, r10, r0
    vmov    s0, s1, r10, r2
    ldm     r3, {r2-r9}
    b       2f
1:  ldr     r10, [r0]
    ldr     r11, [r1], #4
    .irp k, 1, 2, 3
    add_element \a, \b, \k
    strb    lr, [r0, #\k]
    .endr
    add_element \a, \b, 0
    strb    lr, [r0], #4
2:  vmov    r12, s0
    cmp     r0, r12
    bne     1b
    b       4f
3:  ldrb    r10, [r0]
    ldrb    r11, [r1], #1
    add_element \a, \b, 0
    strb    lr, [r0], #1
4:  vmov    r12, s1
    cmp     r0, r12
    bne     3b
    pop     {r4-r11, pc}
    .size \name, . - \name
    .endm

    add_in_place resmcu_add_to_halved, r10, r11
    add_in_place resmcu_add_to_other, r11, r10
