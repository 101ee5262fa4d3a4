@ From sums to outputs on Armv6-M: Winograd's output transform, and the requantization.
@
@ Transform and multiplier are modulo 2^32, and what they end in, `t`, is below 2^31 by the header
@ of `packed/winograd4.rs`. The upper half of its product with a scale is made of products of
@ halves, each of which 32 bits hold. In the profile `native`, with t = 2^16 h + l, |h| <= 2^15, l <
@ 2^16 and 0 <= m < 2^15: |h m| <= 2^30, l m < 2^31, and h m + (l m >> 16) stays below 2^31.
@
@ Both tiles of one output channel, one after another. The low registers compute; what a loop needs
@ waits in the upper ones and on the stack:
@   r8 where a loop ends, r9 sums, r10 output, r11 bytes from tile to tile, then 0
@   r12, lr  upper and lower half of m in the profile `tflite`

@ One dimension of the output transform of the points \m0 to \m5, in place: A^T m, of which row i is
@ 3 * 2^(3,2,1,1) times too large. Results: y0 in \m5, y1 in \m4, y2 in \m1, y3 in \m3; \m0, \m2, \t
@ are free.
    .macro resmcu_winograd4_output m0, m1, m2, m3, m4, m5, t
    subs    \t, \m0, \m1
    adds    \m0, \m0, \m1
    adds    \m1, \m3, \m4
    subs    \m3, \m3, \m4
    lsls    \m4, \t, #2
    adds    \m5, \m5, \m4
    adds    \m5, \m5, \m1
    adds    \m1, \m1, \t
    lsls    \m4, \m0, #1
    adds    \m4, \m4, \m3
    lsls    \m3, \m3, #1
    adds    \m3, \m3, \m2
    adds    \m3, \m3, \m0
    .endm

    .equ RESMCU_Y, 4
    .equ RESMCU_CONSTANTS, 8
    .equ RESMCU_PIXEL, 12
    .equ RESMCU_NEXT_ROW, 16
    .equ RESMCU_SCALE, 24
    .equ RESMCU_SHIFT, 28
    .equ RESMCU_RESIDUAL, 32
    .equ RESMCU_MULTIPLIER, 36
    .equ RESMCU_ADDEND, 44
    .equ RESMCU_VALUES, 48
    .equ RESMCU_ROW, 64
    .equ RESMCU_FRAME, 68

@ r0 is stored at r1, between the ends of int8. r4 free.
    .macro resmcu_saturate
    sxtb    r4, r0
    cmp     r4, r0
    beq     1f
    asrs    r0, r0, #31
    movs    r4, #127
    eors    r0, r4
1:  strb    r0, [r1]
    .endm

@ The accumulator in r0 becomes an output at r1: (t * m) >> 16 by two products of 31 bits, with
@ t = 2^16 h + l, then the rest of the shift, then the ends of int8. r2 m, r3 the rest of the shift,
@ r4 free.
    .macro resmcu_requantize
    uxth    r4, r0
    asrs    r0, r0, #16
    muls    r0, r2, r0
    muls    r4, r2, r4
    lsrs    r4, r4, #16
    adds    r0, r0, r4
    asrs    r0, r3
    resmcu_saturate
    .endm

@ The same in the profile `tflite`, by the header of `packed/constants.rs`. The upper half of t m
@ comes by halves, t = 2^16 h + l and m = 2^16 g + k: h g + (h k + l g + (l k >> 16) >> 16), of
@ which `requantize.rs` proves that no sum overflows. r12 g, lr k; r2 to r5 free.
    .macro resmcu_requantize_tflite
    asrs    r2, r0, #16
    uxth    r3, r0
    mov     r4, lr
    movs    r5, r4
    muls    r4, r3, r4
    muls    r5, r2, r5
    lsrs    r4, r4, #16
    adds    r4, r4, r5
    mov     r5, r12
    muls    r3, r5, r3
    muls    r2, r5, r2
    uxth    r5, r4
    adds    r3, r3, r5
    asrs    r3, r3, #16
    asrs    r4, r4, #16
    adds    r2, r2, r3
    adds    r2, r2, r4
    @ Less 32 where t is negative.
    asrs    r0, r0, #31
    lsls    r0, r0, #5
    adds    r0, r0, r2
    ldr     r2, [sp, #RESMCU_ADDEND]
    ldr     r3, [sp, #RESMCU_SHIFT]
    adds    r0, r0, r2
    asrs    r0, r3
    resmcu_saturate
    ldr     r5, [sp, #RESMCU_PIXEL]
    .endm

@ Place \j of a row. r1 output, r2 m, r3 the rest of the shift, r5 a pixel in bytes, r6 multiplier,
@ r7 constants, which move on; r0, r4 free, and in the profile `tflite` (form 2) r2 and r3.
    .macro resmcu_winograd4_place j, form
    ldr     r0, [sp, #RESMCU_VALUES+4*\j]
    muls    r0, r6, r0
    ldmia   r7!, {r4}
    adds    r0, r0, r4
    .if \form == 1
    movs    r4, #0
    ldrsb   r4, [r1, r4]
    ldr     r5, [sp, #RESMCU_RESIDUAL]
    muls    r4, r5, r4
    adds    r0, r0, r4
    ldr     r5, [sp, #RESMCU_PIXEL]
    .endif
    .if \form == 2
    resmcu_requantize_tflite
    .else
    resmcu_requantize
    .endif
    adds    r1, r1, r5
    .if \j < 2
    lsls    r6, r6, #1
    .endif
    .endm

    .macro resmcu_winograd4_places form
    resmcu_winograd4_place 0, \form
    resmcu_winograd4_place 1, \form
    resmcu_winograd4_place 2, \form
    resmcu_winograd4_place 3, \form
    .endm

@ void resmcu_armv6m_winograd4_outputs(const context *)
@ context: sums, output, constants of the places, a pixel in bytes, to the next row, to the next
@ tile, m, the rest of the shift, weight of the residual or -1 if there is none, multiplier; in the
@ profile `tflite` the lower half of m, the shift, -2, multiplier, the upper half of m, addend
    .section .text.resmcu_armv6m_winograd4_outputs, "ax", %progbits
    .balign 4
    .global resmcu_armv6m_winograd4_outputs
    .type resmcu_armv6m_winograd4_outputs, %function
    .thumb_func
resmcu_armv6m_winograd4_outputs:
    push    {r4-r7, lr}
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    push    {r4-r7}
    sub     sp, #RESMCU_FRAME
    mov     r1, sp
    ldmia   r0!, {r2-r6}
    stmia   r1!, {r2-r6}
    mov     r9, r2
    mov     r10, r3
    ldmia   r0!, {r2-r6}
    stmia   r1!, {r2-r6}
    mov     r11, r2
    mov     lr, r3
    ldmia   r0!, {r2, r3}
    stmia   r1!, {r2, r3}
    mov     r12, r2
    @ Columns, in place.
5:  mov     r7, r9
    movs    r0, #96
    adds    r0, r0, r7
    mov     r8, r0
2:  ldr     r0, [r7]
    ldr     r1, [r7, #96]
    adds    r7, #192
    ldr     r2, [r7]
    ldr     r3, [r7, #96]
    adds    r7, #192
    ldr     r4, [r7]
    ldr     r5, [r7, #96]
    resmcu_winograd4_output r0, r1, r2, r3, r4, r5, r6
    subs    r7, #192
    str     r1, [r7]
    str     r3, [r7, #96]
    subs    r7, #192
    str     r5, [r7]
    str     r4, [r7, #96]
    adds    r7, #16
    cmp     r7, r8
    bne     2b
    @ Rows, whose scales are 0, 1, 2 and 2 powers of two away from the first row's.
    movs    r0, #4
    str     r0, [sp, #RESMCU_ROW]
    mov     r7, r9
3:  mov     r8, r7
    ldr     r0, [r7]
    ldr     r1, [r7, #16]
    ldr     r2, [r7, #32]
    ldr     r3, [r7, #48]
    ldr     r4, [r7, #64]
    ldr     r5, [r7, #80]
    resmcu_winograd4_output r0, r1, r2, r3, r4, r5, r6
    str     r5, [sp, #RESMCU_VALUES]
    str     r4, [sp, #RESMCU_VALUES+4]
    str     r1, [sp, #RESMCU_VALUES+8]
    str     r3, [sp, #RESMCU_VALUES+12]
    mov     r1, r10
    ldr     r2, [sp, #RESMCU_SCALE]
    ldr     r3, [sp, #RESMCU_SHIFT]
    ldr     r5, [sp, #RESMCU_RESIDUAL]
    ldr     r6, [sp, #RESMCU_MULTIPLIER]
    ldr     r7, [sp, #RESMCU_CONSTANTS]
    adds    r4, r5, #1
    ldr     r5, [sp, #RESMCU_PIXEL]
    bne     6f
    resmcu_winograd4_places 0
    b       7f
6:  bmi     10f
    resmcu_winograd4_places 1
    b       7f
10: resmcu_winograd4_places 2
7:  ldr     r0, [sp, #RESMCU_NEXT_ROW]
    adds    r1, r1, r0
    mov     r10, r1
    str     r7, [sp, #RESMCU_CONSTANTS]
    ldr     r0, [sp, #RESMCU_ROW]
    subs    r0, #1
    beq     4f
    str     r0, [sp, #RESMCU_ROW]
    cmp     r0, #1
    beq     8f
    ldr     r6, [sp, #RESMCU_MULTIPLIER]
    lsls    r6, r6, #1
    str     r6, [sp, #RESMCU_MULTIPLIER]
8:  mov     r7, r8
    adds    r7, #96
    b       3b
    @ The second tile.
4:  mov     r0, r11
    cmp     r0, #0
    beq     9f
    ldr     r1, [sp, #RESMCU_Y]
    adds    r1, r1, r0
    mov     r10, r1
    movs    r0, #0
    mov     r11, r0
    mov     r7, r9
    adds    r7, #4
    mov     r9, r7
    ldr     r0, [sp, #RESMCU_CONSTANTS]
    subs    r0, #64
    str     r0, [sp, #RESMCU_CONSTANTS]
    @ The multiplier, which moved to the left, follows the constants of the places.
    ldr     r0, [r0, #64]
    str     r0, [sp, #RESMCU_MULTIPLIER]
    b       5b
9:  add     sp, #RESMCU_FRAME
    pop     {r4-r7}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
    pop     {r4-r7, pc}
    .size resmcu_armv6m_winograd4_outputs, . - resmcu_armv6m_winograd4_outputs
