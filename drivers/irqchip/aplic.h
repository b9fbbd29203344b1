/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An APLIC's supervisor domain, for its own driver and for the IMSIC's, in front of which it turns
 * wires into messages. Numbers are its sources, 1..aplic_sources().
 */
#pragma once

#include "core/base.h"

struct dt;

/*
 * Maps the domain, takes everything down and switches it on, @msi: as messages, else to the harts
 * themselves. Sources above @limit are left alone. 0 or -errno. Context: boot.
 */
int aplic_domain_init(const struct dt *dt, int node, bool msi, unsigned limit);
unsigned aplic_sources(void);
/*
 * As the functions of struct irq_chip, but that translate returns 1 when it is the first for this
 * source, which has no target then.
 */
int aplic_translate(const uint32_t *cells, int n, int controller, unsigned *hwirq);
void aplic_mask(unsigned source);
void aplic_unmask(unsigned source);
/*
 * Where a source goes. In direct mode hart index << 18 | priority, as messages
 * hart index << 18 | identity.
 */
void aplic_set_target(unsigned source, uint32_t target);
uint32_t aplic_target(unsigned source);
/*
 * As messages, a level is sent once, when it becomes active: after its handler ran this sends it
 * again if it still is. Context: irq.
 */
void aplic_resend_level(unsigned source);
/* The same, and an edge in any case: for one that came to where nobody handles it. */
void aplic_resend(unsigned source);

#define APLIC_TARGET_HART_SHIFT 18

/* Calls @each for every entry of a node's interrupts-extended that is a supervisor external interrupt. */
int aia_each_hart(const struct dt *dt, int node, void (*each)(uint64_t hwid, unsigned index));
