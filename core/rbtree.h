/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intrusive red-black tree with its first node cached: timers and wait queues. (The fair class has
 * its own, augmented one.) Equal keys keep their order of insertion. Insert and erase O(log n),
 * first O(1). Needs the owner's lock.
 */
#pragma once

#include "core/base.h"

struct rb_node {
	struct rb_node *child[2], *parent;
	bool red;
};

/*
 * A node that is alone is no root, only the first: of it just the parent and child[1] are set, and
 * rb_insert() sees to the rest when another one comes.
 */
struct rb_root {
	struct rb_node *root, *first;
};

static inline void rb_init(struct rb_root *t)
{
	t->root = t->first = NULL;
}

static inline bool rb_empty(const struct rb_root *t)
{
	return !t->first;
}

static inline struct rb_node *rb_first(const struct rb_root *t)
{
	return t->first;
}

/* @n becomes a child of @p on @side, where there is none: 0 left, 1 right. */
void rb_link(struct rb_root *t, struct rb_node *n, struct rb_node *p, unsigned long side);
/* The tree is no tree of one any more. */
static inline void rb_grow(struct rb_root *t)
{
	struct rb_node *only = t->first;

	only->child[0] = NULL;
	only->red = false;
	t->root = only;
}

/* @less(a, b): a goes before b. */
void rb_insert(struct rb_root *t, struct rb_node *n,
	       bool (*less)(const struct rb_node *, const struct rb_node *));
void rb_erase(struct rb_root *t, struct rb_node *n);

/*
 * The usual case of wait queues and timers, without a call: into an empty tree, out of a tree of
 * one.
 */
static inline void rb_insert_alone(struct rb_root *t, struct rb_node *n)
{
	n->child[1] = n->parent = NULL;
	t->first = n;
}

/* There is one at most. */
static inline bool rb_is_alone(const struct rb_root *t)
{
	return !t->root;
}

static inline void rb_erase_alone(struct rb_root *t)
{
	t->first = NULL;
}

struct rb_node *rb_next(const struct rb_node *n);
/*
 * Full check of order, colours and the cached first node; tests and debug builds. Returns the
 * number of nodes or -1.
 */
int rb_check(const struct rb_root *t, bool (*less)(const struct rb_node *, const struct rb_node *));
