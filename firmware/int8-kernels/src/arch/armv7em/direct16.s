@ The direct kernel on Armv7E-M and Armv8-M with DSP and FPU: the passes of `portable`.

@ void widen_row(const i8 *row, u32 *patches, words)
@ Four words of five instructions each a round, and what remains one by one.
    .section .text.resmcu_direct16_widen_row, "ax", %progbits
    .balign 4
    .global resmcu_direct16_widen_row
    .type resmcu_direct16_widen_row, %function
    .thumb_func
resmcu_direct16_widen_row:
    push    {r4, lr}
    subs    r2, r2, #4
    blo     2f
1:
    .rept 4
    ldr     r3, [r0], #4
    sxtb16  r4, r3, ror #8
    sxtb16  r3, r3
    strd    r3, r4, [r1], #16
    .endr
    subs    r2, r2, #4
    bhs     1b
2:  adds    r2, r2, #4
    beq     4f
3:  ldr     r3, [r0], #4
    sxtb16  r4, r3, ror #8
    sxtb16  r3, r3
    strd    r3, r4, [r1], #16
    subs    r2, r2, #1
    bne     3b
4:  pop     {r4, pc}
    .size resmcu_direct16_widen_row, . - resmcu_direct16_widen_row

@ void products(const context *)
@ context: patches, their end, stream of weights, its end, both outputs, steps, join
@ r0 patches, r1 stream; s0 patches, s1 their end, s3 end of the stream, s4, s5 outputs, s6 entry
@ into a chunk of 16 steps, s7 join. A pair of channels is: four biases, the steps, two scales, two
@ weights of the residual.
    .section .text.resmcu_direct16_products, "ax", %progbits
    .balign 4
    .global resmcu_direct16_products
    .type resmcu_direct16_products, %function
    .thumb_func
resmcu_direct16_products:
    push    {r4-r11, lr}
    vldmia  r0, {s0-s7}
    vmov    r1, s2
    @ The entry: a step has 40 bytes.
    vmov    r2, s6
    adr.w   r6, 2f
    subs    r2, r2, #1
    and     r2, r2, #15
    rsb     r2, r2, #15
    mov     r3, #40
    mla     r6, r2, r3, r6
    orr     r6, r6, #1
    vmov    s6, r6
1:  ldm     r1!, {r2-r5}
    vmov    r0, s0
    vmov    r6, s6
    bx      r6
    .balign 4
2:  .rept 16
    dual_step 0
    .endr
    vmov    r6, s1
    cmp     r0, r6
    bne.w   2b
    ldm     r1!, {r6-r9}
    vmov    r10, r11, s4, s5
    vmov    r0, s7
    cbz     r0, 3f
    ldrsb   r0, [r10]
    ldrsb   r12, [r11]
    mla     r2, r0, r8, r2
    mla     r3, r12, r8, r3
    ldrsb   r0, [r10, #1]
    ldrsb   r12, [r11, #1]
    mla     r4, r0, r9, r4
    mla     r5, r12, r9, r5
3:  smmul   r2, r2, r6
    smmul   r3, r3, r6
    smmul   r4, r4, r7
    smmul   r5, r5, r7
    ssat    r2, #8, r2
    ssat    r3, #8, r3
    ssat    r4, #8, r4
    ssat    r5, #8, r5
    strb    r4, [r10, #1]
    strb    r2, [r10], #2
    strb    r5, [r11, #1]
    strb    r3, [r11], #2
    vmov    s4, s5, r10, r11
    vmov    r6, s3
    cmp     r1, r6
    bne.w   1b
    pop     {r4-r11, pc}
    .size resmcu_direct16_products, . - resmcu_direct16_products
