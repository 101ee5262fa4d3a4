@ The generic convolution's sums on Armv6-M: what `model::dot4` computes.
@
@ Four weights, one of each output channel, come in a word, of which each byte is taken from the
@ lower end: SXTB copies it, so that the multiplication may overwrite. After three ASRS by eight the
@ word is the last weight itself. |x w| <= 2^14; sums are modulo 2^32, as the generic kernel's.
@ Registers:
@   r0      inputs
@   r1      weights
@   r2      an input
@   r3      its four weights
@   r4      a product
@   r5-r8   four sums
@   r12     where the inputs end
@   lr      where the sums go

@ The input at \at bytes.
    .macro resmcu_dot4_input at
    ldmia   r1!, {r3}
    ldrb    r2, [r0, #\at]
    sxtb    r2, r2
    .irp sum, r5, r6, r7
    sxtb    r4, r3
    muls    r4, r2, r4
    adds    \sum, \sum, r4
    asrs    r3, r3, #8
    .endr
    muls    r3, r2, r3
    add     r8, r3
    .endm

@ void resmcu_armv6m_dot4(const i8 *x, const u32 *weights, const i8 *end of x, i32 *sums)
@ A word of weights for each of any number of inputs.
    .section .text.resmcu_armv6m_dot4, "ax", %progbits
    .balign 4
    .global resmcu_armv6m_dot4
    .type resmcu_armv6m_dot4, %function
    .thumb_func
resmcu_armv6m_dot4:
    push    {r4-r7, lr}
    mov     r4, r8
    push    {r4}
    mov     lr, r3
    mov     r12, r2
    movs    r5, #0
    movs    r6, #0
    movs    r7, #0
    mov     r8, r5
    @ Those beyond a multiple of four, one by one; r2 how many.
    subs    r2, r2, r0
    lsls    r2, r2, #30
    lsrs    r2, r2, #30
    beq     2f
    push    {r2}
1:  resmcu_dot4_input 0
    adds    r0, r0, #1
    ldr     r2, [sp]
    subs    r2, r2, #1
    str     r2, [sp]
    bne     1b
    pop     {r2}
2:  cmp     r0, r12
    beq     4f
3:  resmcu_dot4_input 0
    resmcu_dot4_input 1
    resmcu_dot4_input 2
    resmcu_dot4_input 3
    adds    r0, r0, #4
    cmp     r0, r12
    bne     3b
4:  mov     r0, lr
    mov     r1, r8
    stmia   r0!, {r5-r7}
    str     r1, [r0]
    pop     {r4}
    mov     r8, r4
    pop     {r4-r7, pc}
    .size resmcu_armv6m_dot4, . - resmcu_armv6m_dot4
