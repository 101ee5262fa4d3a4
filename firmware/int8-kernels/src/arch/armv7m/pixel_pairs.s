@ Two pixels in one SMLAL, on Armv7-M and above: what `portable::pixel_pairs::sums` computes.
@
@ A word holds x0 + 2^23 x1 of two pixels, so that one long multiply-accumulate with a weight adds
@ w x0 to the lower 23 bits and w x1 to the others. The lower sum stays inside of them while the
@ weights' absolute values add up to less than 2^15: for 248 weights always. Then both are taken
@ out, and the sums begin anew. Registers:
@   r0       inputs, two words for each weight: pixels 0 and 1, pixels 2 and 3
@   r1       weights of two outputs
@   r2       where the inputs of this part end
@   r3-r10   four sums of 64 bits: output 0 of both words, output 1 of both
@   r11, r12 inputs
@   lr       a weight

    .equ RESMCU_PART_END, 32
    .equ RESMCU_PART_SUMS, 36
    .equ RESMCU_PART_FRAME, 40

@ Takes the sums of both pixels out of \lo, \hi, and adds them to the next two at lr.
    .macro resmcu_pixel_pairs_take lo, hi
    sbfx    r11, \lo, #0, #23
    subs    \lo, \lo, r11
    sbc     \hi, \hi, r11, asr #31
    lsr     \lo, \lo, #23
    orr     \lo, \lo, \hi, lsl #9
    ldrd    r12, \hi, [lr]
    add     r12, r12, r11
    add     \hi, \hi, \lo
    strd    r12, \hi, [lr], #8
    .endm

@ void resmcu_armv7m_pixel_pairs_sums(const u32 *x, const i8 *weights, const u32 *end, i32 *sums)
@ Adds to eight sums, `[output][pixel]`; a multiple of eight weights for each output.
    .section .text.resmcu_armv7m_pixel_pairs_sums, "ax", %progbits
    .balign 4
    .global resmcu_armv7m_pixel_pairs_sums
    .type resmcu_armv7m_pixel_pairs_sums, %function
    .thumb_func
resmcu_armv7m_pixel_pairs_sums:
    push    {r4-r11, lr}
    sub     sp, #RESMCU_PART_FRAME
    strd    r2, r3, [sp, #RESMCU_PART_END]
    mov     r12, sp
    movs    r4, #0
    movs    r5, #0
    movs    r6, #0
    movs    r7, #0
    stmia   r12!, {r4-r7}
    stmia   r12!, {r4-r7}
1:  ldr     r3, [sp, #RESMCU_PART_END]
    add     r2, r0, #8*248
    cmp     r2, r3
    it      hi
    movhi   r2, r3
    ldm     sp, {r3-r10}
    .balign 4
2:  .rept 8
    ldrd    r11, r12, [r0], #8
    ldrsb   lr, [r1], #1
    smlal   r3, r4, lr, r11
    smlal   r5, r6, lr, r12
    ldrsb   lr, [r1], #1
    smlal   r7, r8, lr, r11
    smlal   r9, r10, lr, r12
    .endr
    cmp     r0, r2
    bne.w   2b
    ldr     lr, [sp, #RESMCU_PART_SUMS]
    resmcu_pixel_pairs_take r3, r4
    resmcu_pixel_pairs_take r5, r6
    resmcu_pixel_pairs_take r7, r8
    resmcu_pixel_pairs_take r9, r10
    ldr     r3, [sp, #RESMCU_PART_END]
    cmp     r0, r3
    bne.w   1b
    add     sp, #RESMCU_PART_FRAME
    pop     {r4-r11, pc}
    .size resmcu_armv7m_pixel_pairs_sums, . - resmcu_armv7m_pixel_pairs_sums
