@ The input transforms of Winograd's F(4x4, 3x3) on Helium: `rows` and `columns` of `portable`, of
@ channels in sixteens.
@
@ They are those of the header of `packed/winograd4.rs` in lanes modulo 2^16, which the results fit
@ as it says. Lanes that do not know of each other need no sign before the end, so that the 128 that
@ is added to each input comes after the vertical pass: B^T of six ones is -6 in its first row, and
@ 0 in all others. Words lie as `portable` has them: those of four quads, which are one vector, 480
@ bytes apart in `u`, and 16 in `v`.
    .syntax unified
    .thumb
    .cpu cortex-m55

    .equ MVE_QUADS_OF_U, 1920
    .equ MVE_QUADS_OF_V, 64

@ Four words at once: where the words of four quads are, from the first one.
    .section .rodata.resmcu_mve_winograd4, "a", %progbits
    .balign 16
resmcu_mve_winograd4_places:
    .word   0, 480, 960, 1440
    .word   0, 16, 32, 48
    .word   4, 20, 36, 52
    .word   0x3400, 0x3400, 0x3400, 0x3400

@ One dimension of the input transform, in place: q0..q5 become B^T u, in the order of points q1,
@ q4, q5, q3, q2, q0. q6, q7 free; \m4: -4.
    .macro mve_winograd4_input m4
    vsub.i16 q6, q4, q2
    vsub.i16 q7, q3, q1
    vsub.i16 q0, q0, q2
    vsub.i16 q5, q5, q3
    vmla.s16 q4, q2, \m4
    vmla.s16 q3, q1, \m4
    vmla.s16 q5, q7, \m4
    vshl.i16 q0, q0, #2
    vadd.i16 q7, q7, q7
    vadd.i16 q1, q4, q3
    vsub.i16 q4, q4, q3
    vadd.i16 q0, q0, q6
    vadd.i16 q3, q6, q7
    vsub.i16 q2, q6, q7
    .endm

@ void rows(const context *)
@ context: six rows, u, bytes of a pixel, end of row 0, 120 * channels - 4
@ r0-r5 rows, r6 u of the quads, r7 sixteens of a pixel, r8 -4, r9 768, r10 places, r11 step back,
@ r12 end, lr loop.
    .section .text.resmcu_mve_winograd4_rows, "ax", %progbits
    .balign 4
    .global resmcu_mve_winograd4_rows
    .type resmcu_mve_winograd4_rows, %function
    .thumb_func
resmcu_mve_winograd4_rows:
    push    {r3-r11, lr}
    vpush   {d8-d15}
    ldrd    r7, r12, [r0, #28]
    ldr     r11, [r0, #36]
    ldm     r0, {r0-r6}
    lsr     r7, r7, #4
    mvn     r8, #3
    mov     r9, #768
    ldr     r10, =resmcu_mve_winograd4_places
1:  dls     lr, r7
2:
    .irp half, 0, 1
    .if \half
    vldrb.u8 q0, [r0], #16
    vldrb.u8 q1, [r1], #16
    vldrb.u8 q2, [r2], #16
    vldrb.u8 q3, [r3], #16
    vldrb.u8 q4, [r4], #16
    vldrb.u8 q5, [r5], #16
    .irp q, q0, q1, q2, q3, q4, q5
    vmovlt.s8 \q, \q
    .endr
    .else
    vldrb.u8 q0, [r0]
    vldrb.u8 q1, [r1]
    vldrb.u8 q2, [r2]
    vldrb.u8 q3, [r3]
    vldrb.u8 q4, [r4]
    vldrb.u8 q5, [r5]
    .irp q, q0, q1, q2, q3, q4, q5
    vmovlb.s8 \q, \q
    .endr
    .endif
    mve_winograd4_input r8
    vldrw.u32 q7, [r10]
    vsub.i16 q1, q1, r9
    vadd.i32 q7, q7, r6
    vstrw.32 q1, [q7, #240*\half]
    vstrw.32 q4, [q7, #240*\half+40]
    vstrw.32 q5, [q7, #240*\half+80]
    vstrw.32 q3, [q7, #240*\half+120]
    vstrw.32 q2, [q7, #240*\half+160]
    vstrw.32 q0, [q7, #240*\half+200]
    .endr
    add     r6, r6, #MVE_QUADS_OF_U
    le      lr, 2b
    sub     r6, r6, r11
    cmp     r0, r12
    bne     1b
    vpop    {d8-d15}
    pop     {r3-r11, pc}
    .ltorg
    .size resmcu_mve_winograd4_rows, . - resmcu_mve_winograd4_rows

@ void columns(const u32 *u, u32 *v, quads, bytes of a point)
@ r0 u of the quads, r1 v of the quads, r2 quads to go, r3 bytes of a point, r4-r9 a line of points
@ of v, r10 places, r11 bytes of the other five points of a line, r12 -4; on the stack where words
@ of u are.
    .section .text.resmcu_mve_winograd4_columns, "ax", %progbits
    .balign 4
    .global resmcu_mve_winograd4_columns
    .type resmcu_mve_winograd4_columns, %function
    .thumb_func
resmcu_mve_winograd4_columns:
    push    {r3-r11, lr}
    vpush   {d8-d15}
    sub     sp, sp, #16
    ldr     r10, =resmcu_mve_winograd4_places
    mvn     r12, #3
    add     r11, r3, r3, lsl #1
    lsl     r11, r11, #1
1:  vldrw.u32 q7, [r10]
    vadd.i32 q7, q7, r0
    vstrw.32 q7, [sp]
    mov     r4, r1
    add     r5, r1, r3
    add     r6, r5, r3
    add     r7, r6, r3
    add     r8, r7, r3
    add     r9, r8, r3
    .irp line, 0, 1, 2, 3, 4, 5
    .irp half, 0, 1
    vldrw.u32 q7, [sp]
    vldrw.u32 q4, [q7, #240*\half+40*\line+16]
    vldrw.u32 q5, [q7, #240*\half+40*\line+20]
    vldrw.u32 q6, [r10, #48]
    vldrw.u32 q0, [q7, #240*\half+40*\line]
    vldrw.u32 q1, [q7, #240*\half+40*\line+4]
    vadd.i16 q4, q4, q6
    vldrw.u32 q2, [q7, #240*\half+40*\line+8]
    vadd.i16 q5, q5, q6
    vldrw.u32 q3, [q7, #240*\half+40*\line+12]
    mve_winograd4_input r12
    vldrw.u32 q7, [r10, #16+16*\half]
    vstrw.32 q1, [r4, q7]
    vstrw.32 q4, [r5, q7]
    vstrw.32 q5, [r6, q7]
    vstrw.32 q3, [r7, q7]
    vstrw.32 q2, [r8, q7]
    vstrw.32 q0, [r9, q7]
    .endr
    .if \line-5
    .irp point, r4, r5, r6, r7, r8, r9
    add     \point, \point, r11
    .endr
    .endif
    .endr
    add     r0, r0, #MVE_QUADS_OF_U
    add     r1, r1, #MVE_QUADS_OF_V
    subs    r2, r2, #4
    bne.w   1b
    add     sp, sp, #16
    vpop    {d8-d15}
    pop     {r3-r11, pc}
    .ltorg
    .size resmcu_mve_winograd4_columns, . - resmcu_mve_winograd4_columns
