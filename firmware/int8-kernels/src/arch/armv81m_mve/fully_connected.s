@ The sums of a fully connected layer on Helium: what `model::fully_connected` computes.
@
@ Four outputs at once, so that inputs are loaded once for four rows: sixteen of int8 in a vector,
@ or eight of int16, against which the weights are widened as they are loaded. The tail's lanes are
@ predicated off: they load and add nothing. |x w| <= 2^15 * 2^7; VMLADAVA adds modulo 2^32.
@ Registers:
@   r0       inputs
@   r1, r3, r5, r7   weights of four outputs
@   r2, r4, r6, r8   their sums, in even registers as VMLADAVA wants them
@   r12      the context
    .syntax unified
    .thumb
    .cpu cortex-m55

@ The row at \row.
    .macro resmcu_fully_connected_row bytes, row, sum, q
    .if \bytes == 1
    vldrb.u8    \q, [\row], #16
    vmladava.s8 \sum, q0, \q
    .else
    vldrb.s16   \q, [\row], #8
    vmladava.s16 \sum, q0, \q
    .endif
    .endm

@ void NAME(const context *)
@ context: inputs, how many (at least one), four rows of weights, four sums
    .macro resmcu_fully_connected name, bytes
    .section .text.\name, "ax", %progbits
    .balign 4
    .global \name
    .type \name, %function
    .thumb_func
\name:
    push    {r4-r8, lr}
    mov     r12, r0
    ldrd    r0, lr, [r12]
    ldrd    r1, r3, [r12, #8]
    ldrd    r5, r7, [r12, #16]
    movs    r2, #0
    movs    r4, #0
    movs    r6, #0
    mov     r8, r2
    .if \bytes == 1
    dlstp.8 lr, lr
1:  vldrb.u8 q0, [r0], #16
    .else
    dlstp.16 lr, lr
1:  vldrh.u16 q0, [r0], #16
    .endif
    resmcu_fully_connected_row \bytes, r1, r2, q1
    resmcu_fully_connected_row \bytes, r3, r4, q2
    resmcu_fully_connected_row \bytes, r5, r6, q3
    resmcu_fully_connected_row \bytes, r7, r8, q1
    letp    lr, 1b
    ldr     r12, [r12, #24]
    strd    r2, r4, [r12]
    strd    r6, r8, [r12, #8]
    pop     {r4-r8, pc}
    .size \name, . - \name
    .endm

    resmcu_fully_connected resmcu_fully_connected_s8, 1
    resmcu_fully_connected resmcu_fully_connected_s16, 2
