@ The horizontal passes of the input transforms on Armv7E-M: `columns` of `portable`.
@
@ For each quad of channels, its two words one after another, a pass goes over the lines that the
@ vertical one left in u, and stores what it makes of a line at the line's points of v. Winograd's
@ words are two lanes as one number (`armv7m/winograd4_input.s` proves that they come apart); those
@ of the phases are two int16, whose differences of differences of int8, below 2^9, SSUB16 keeps.
@
@ A store with a register as offset takes two cycles of a Cortex-M4, and one with a constant takes
@ one: the numbers of channels of common layers have code of their own. r0 u, r1 v of the quad, r2
@ quads, r3-r8 data, r9 free, r10 v of the row.

@ A tile with \quads quads, of which \lines lines of points are in reach of one base.
    .macro winograd4_columns_fixed quads, lines
1:
    .irp half, 0, 4
    mov     r10, r1
    .irp line, 0, 1, 2, 3, 4, 5
    winograd4_columns_line
    .if \line && !(\line % \lines)
    add     r10, r10, #96*\quads*\lines
    .endif
    str     r4, [r10, #96*\quads*(\line % \lines)+\half]
    str     r7, [r10, #96*\quads*(\line % \lines)+\half+16*\quads]
    str     r8, [r10, #96*\quads*(\line % \lines)+\half+32*\quads]
    str     r6, [r10, #96*\quads*(\line % \lines)+\half+48*\quads]
    str     r5, [r10, #96*\quads*(\line % \lines)+\half+64*\quads]
    str     r3, [r10, #96*\quads*(\line % \lines)+\half+80*\quads]
    .endr
    .endr
    add     r1, r1, #16
    subs    r2, r2, #1
    bne.w   1b
    pop     {r4-r11, pc}
    .endm

@ void columns(const u32 *u, u32 *v, quads, bytes of a point)
    .section .text.resmcu_winograd4_columns, "ax", %progbits
    .balign 4
    .global resmcu_winograd4_columns
    .type resmcu_winograd4_columns, %function
    .thumb_func
resmcu_winograd4_columns:
    push    {r4-r11, lr}
    cmp     r2, #4
    beq.w   4f
    cmp     r2, #8
    beq.w   5f
    cmp     r2, #16
    beq.w   6f
    winograd4_columns_any
    pop     {r4-r11, pc}
4:  winograd4_columns_fixed 4, 6
5:  winograd4_columns_fixed 8, 3
6:  winograd4_columns_fixed 16, 2
    .size resmcu_winograd4_columns, . - resmcu_winograd4_columns

@ Stores a row of five terms from point r10 on: \first, \odd, \last, \odd_last, \middle. r11, r12,
@ lr: 1, 5, 7 points. An even row has its middle eight points on, an odd one seven.
    .macro polyphase2_row first, odd, last, odd_last, middle, is_odd
    str     \first, [r10]
    str     \odd, [r10, r11]
    str     \last, [r10, r11, lsl #2]
    str     \odd_last, [r10, r12]
    .if \is_odd
    str     \middle, [r10, lr]
    .else
    str     \middle, [r10, r11, lsl #3]
    .endif
    .endm

@ The same for the middle row, whose points are one after another. r9 is free.
    .macro polyphase2_middle_row first, odd, last, odd_last, middle
    add     r9, r10, r11
    str     \first, [r10]
    str     \odd, [r10, r11]
    str     \last, [r10, r11, lsl #1]
    str     \odd_last, [r9, r11, lsl #1]
    str     \middle, [r10, r11, lsl #2]
    .endm

@ Five columns: r3, r4, r7, r6, r5 become the first, odd, last, odd last and middle term.
    .macro polyphase2_columns
    ldm     r0!, {r3-r7}
    add     r0, r0, #16
    ssub16  r3, r3, r5
    ssub16  r7, r7, r5
    .endm

@ A tile with \quads quads, of which all points are in reach of r1.
    .macro polyphase2_columns_fixed quads
1:
    .irp half, 0, 4
    .irp first, 0, 2, 10, 12
    polyphase2_columns
    str     r3, [r1, #16*\quads*\first+\half]
    str     r4, [r1, #16*\quads*(\first+1)+\half]
    str     r7, [r1, #16*\quads*(\first+4)+\half]
    str     r6, [r1, #16*\quads*(\first+5)+\half]
    str     r5, [r1, #16*\quads*(\first+8-\first%10/2)+\half]
    .endr
    polyphase2_columns
    str     r3, [r1, #16*\quads*20+\half]
    str     r4, [r1, #16*\quads*21+\half]
    str     r7, [r1, #16*\quads*22+\half]
    str     r6, [r1, #16*\quads*23+\half]
    str     r5, [r1, #16*\quads*24+\half]
    .endr
    add     r1, r1, #16
    subs    r2, r2, #1
    bne.w   1b
    pop     {r4-r11, pc}
    .endm

@ void columns(const u32 *u, u32 *v, quads, bytes of a point)
@ r3-r7 data, r9 free, r11, r12, lr: 1, 5, 7 points.
    .section .text.resmcu_polyphase2_columns, "ax", %progbits
    .balign 4
    .global resmcu_polyphase2_columns
    .type resmcu_polyphase2_columns, %function
    .thumb_func
resmcu_polyphase2_columns:
    push    {r4-r11, lr}
    cmp     r2, #4
    beq.w   4f
    cmp     r2, #8
    beq.w   5f
    mov     r11, r3
    add     r12, r11, r11, lsl #2
    add     lr, r12, r11, lsl #1
1:
    .irp half, 0, 1
    mov     r10, r1
    polyphase2_columns
    polyphase2_row r3, r4, r7, r6, r5, 0
    add     r10, r10, r11, lsl #1
    polyphase2_columns
    polyphase2_row r3, r4, r7, r6, r5, 1
    add     r10, r10, r11, lsl #3
    polyphase2_columns
    polyphase2_row r3, r4, r7, r6, r5, 0
    add     r10, r10, r11, lsl #1
    polyphase2_columns
    polyphase2_row r3, r4, r7, r6, r5, 1
    add     r10, r10, r11, lsl #3
    polyphase2_columns
    polyphase2_middle_row r3, r4, r7, r6, r5
    .if \half
    add     r1, r1, #12
    .else
    add     r1, r1, #4
    .endif
    .endr
    subs    r2, r2, #1
    bne.w   1b
    pop     {r4-r11, pc}
4:  polyphase2_columns_fixed 4
5:  polyphase2_columns_fixed 8
    .size resmcu_polyphase2_columns, . - resmcu_polyphase2_columns
