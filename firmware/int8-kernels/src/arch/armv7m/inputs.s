@ The input transforms on Armv7-M: the passes `rows` and `columns` of `portable`.
@
@ Winograd's vertical pass works on two channels in a word, x + 128 of each: a byte with its highest
@ bit flipped is 0 to 255, so that AND and EOR widen two at once; then they are one number
@ (`winograd4_input.s`). The passes of the phases work on one channel at a time: differences of
@ int8, and differences of those, are at most 2^9, and stored as int16.

@ Two channels plus 128 of each row, of \words shifted right by \shift: r7-r12. lr 0x00ff00ff.
    .macro resmcu_winograd4_widen step, shift
    .if \step
    ldr     r7, [r0], #4
    ldr     r8, [r1], #4
    ldr     r9, [r2], #4
    ldr     r10, [r3], #4
    ldr     r11, [r4], #4
    ldr     r12, [r5], #4
    .else
    ldr     r7, [r0]
    ldr     r8, [r1]
    ldr     r9, [r2]
    ldr     r10, [r3]
    ldr     r11, [r4]
    ldr     r12, [r5]
    .endif
    .irp word, r7, r8, r9, r10, r11, r12
    and     \word, lr, \word, lsr #\shift
    eor     \word, \word, #0x00800080
    .endr
    .endm

@ void resmcu_winograd4_rows(const context *)
@ context: six rows, u, bytes of a pixel, end of row 0, 120 * channels - 4
@ r0-r5 rows, r6 u, r7-r12 data, lr free; on the stack the end of the pixel, its bytes, the end of
@ row 0, back to the next column's u.
    .section .text.resmcu_winograd4_rows, "ax", %progbits
    .balign 4
    .global resmcu_winograd4_rows
    .type resmcu_winograd4_rows, %function
    .thumb_func
resmcu_winograd4_rows:
    push    {r4-r11, lr}
    sub     sp, #16
    ldrd    r7, r8, [r0, #28]
    ldr     r9, [r0, #36]
    strd    r7, r8, [sp, #4]
    str     r9, [sp, #12]
    ldm     r0, {r0-r6}
1:  ldr     lr, [sp, #4]
    add     lr, r0
    str     lr, [sp]
2:
    .irp half, 0, 1
    mov     lr, #0x00ff00ff
    .if \half
    resmcu_winograd4_widen 1, 8
    .else
    resmcu_winograd4_widen 0, 0
    .endif
    winograd4_input r7, r8, r9, r10, r11, r12, lr
    str     r8, [r6, #240*\half]
    str     r11, [r6, #240*\half+40]
    str     r12, [r6, #240*\half+80]
    str     r10, [r6, #240*\half+120]
    str     r9, [r6, #240*\half+160]
    str     r7, [r6, #240*\half+200]
    .endr
    add     r6, r6, #480
    ldr     lr, [sp]
    cmp     r0, lr
    bne     2b
    ldrd    r7, r8, [sp, #8]
    sub     r6, r6, r8
    cmp     r0, r7
    bne     1b
    add     sp, #16
    pop     {r4-r11, pc}
    .size resmcu_winograd4_rows, . - resmcu_winograd4_rows

@ One channel of a column: five bytes become the terms x0 - x2, x1, x4 - x2, x3, x2, at \to bytes of
@ u.
    .macro resmcu_polyphase2_rows_channel to
    ldrsb   r6, [r0], #1
    ldrsb   r7, [r1], #1
    ldrsb   r8, [r2], #1
    ldrsb   r9, [r3], #1
    ldrsb   r10, [r4], #1
    sub     r6, r6, r8
    sub     r10, r10, r8
    strh    r6, [r5, #\to]
    strh    r7, [r5, #\to+36]
    strh    r10, [r5, #\to+72]
    strh    r9, [r5, #\to+108]
    strh    r8, [r5, #\to+144]
    .endm

@ void resmcu_polyphase2_rows(const context *)
@ context: five rows, u, bytes of a pixel, end of row 0, 90 * channels - 4
@ r0-r4 rows, r5 u, r6-r10 data, r11 the end of the pixel, r12 its bytes, lr the end of row 0; on
@ the stack back to the next column's u.
    .section .text.resmcu_polyphase2_rows, "ax", %progbits
    .balign 4
    .global resmcu_polyphase2_rows
    .type resmcu_polyphase2_rows, %function
    .thumb_func
resmcu_polyphase2_rows:
    push    {r4-r11, lr}
    ldr     r4, [r0, #32]
    push    {r4}
    ldr     r12, [r0, #24]
    ldr     lr, [r0, #28]
    ldm     r0, {r0-r5}
1:  add     r11, r0, r12
2:  resmcu_polyphase2_rows_channel 0
    resmcu_polyphase2_rows_channel 180
    resmcu_polyphase2_rows_channel 2
    resmcu_polyphase2_rows_channel 182
    add     r5, r5, #360
    cmp     r0, r11
    bne.w   2b
    ldr     r6, [sp]
    sub     r5, r5, r6
    cmp     r0, lr
    bne.w   1b
    add     sp, #4
    pop     {r4-r11, pc}
    .size resmcu_polyphase2_rows, . - resmcu_polyphase2_rows

@ One channel of a line: the terms x0 - x2, x1, x4 - x2, x3, x2 in r3, r4, r7, r6, r5.
    .macro resmcu_polyphase2_terms from
    ldrsh   r3, [r0, #\from]
    ldrsh   r4, [r0, #\from+4]
    ldrsh   r5, [r0, #\from+8]
    ldrsh   r6, [r0, #\from+12]
    ldrsh   r7, [r0, #\from+16]
    sub     r3, r3, r5
    sub     r7, r7, r5
    .endm

@ A line of both channels goes to its points from r10 on: 0, 1, 4, 5 and 8, or with an odd term 7.
@ r8 is the second channel's place.
    .macro resmcu_polyphase2_line at, is_odd
    resmcu_polyphase2_terms \at
    add     r8, r10, #2
    resmcu_polyphase2_line_channel r10, \is_odd
    resmcu_polyphase2_terms \at+2
    resmcu_polyphase2_line_channel r8, \is_odd
    .endm

    .macro resmcu_polyphase2_line_channel to, is_odd
    strh    r3, [\to]
    strh    r4, [\to, r11]
    strh    r7, [\to, r11, lsl #2]
    strh    r6, [\to, r12]
    .if \is_odd
    strh    r5, [\to, lr]
    .else
    strh    r5, [\to, r11, lsl #3]
    .endif
    .endm

@ The line with the middle term, whose points follow one another. r9 is free.
    .macro resmcu_polyphase2_middle_line at, to
    resmcu_polyphase2_terms \at
    add     r9, \to, r11
    strh    r3, [\to]
    strh    r4, [\to, r11]
    strh    r7, [\to, r11, lsl #1]
    strh    r6, [r9, r11, lsl #1]
    strh    r5, [\to, r11, lsl #2]
    .endm

@ void resmcu_polyphase2_columns(const u32 *u, u32 *v, quads, bytes of a point)
@ r0 u, r1 v of the half quad, r2 halves, r3-r7 data, r8, r9 free, r10 v of the line, r11, r12, lr:
@ 1, 5, 7 points.
    .section .text.resmcu_polyphase2_columns, "ax", %progbits
    .balign 4
    .global resmcu_polyphase2_columns
    .type resmcu_polyphase2_columns, %function
    .thumb_func
resmcu_polyphase2_columns:
    push    {r4-r11, lr}
    mov     r11, r3
    add     r12, r11, r11, lsl #2
    add     lr, r12, r11, lsl #1
    lsl     r2, r2, #1
1:  mov     r10, r1
    resmcu_polyphase2_line 0, 0
    add     r10, r10, r11, lsl #1
    resmcu_polyphase2_line 36, 1
    add     r10, r10, r11, lsl #3
    resmcu_polyphase2_line 72, 0
    add     r10, r10, r11, lsl #1
    resmcu_polyphase2_line 108, 1
    add     r10, r10, r11, lsl #3
    add     r8, r10, #2
    resmcu_polyphase2_middle_line 144, r10
    resmcu_polyphase2_middle_line 146, r8
    add     r0, r0, #180
    subs    r2, r2, #1
    tst     r2, #1
    ite     ne
    addne   r1, r1, #4
    addeq   r1, r1, #12
    cmp     r2, #0
    bne.w   1b
    pop     {r4-r11, pc}
    .size resmcu_polyphase2_columns, . - resmcu_polyphase2_columns
