/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ordering of the fair class: entities sorted by virtual deadline, searched by eligibility.
 *
 * A red-black tree by deadline in which a node also knows the smallest v of its subtree, so that
 * "the earliest deadline among those with v <= V" is found in O(log n). Three things make the
 * common case flat in n: the two ends are cached, an entity that goes to an end is linked there
 * without a descent, and the minimum is not kept where nobody needs it:
 *
 *   min_v is exact for every node that is not on the left spine (the path from the root along left
 *   children to the leftmost node). On the left spine it is never used.
 *
 * A node leaves the left spine only by a rotation to the right, which computes its min_v; all
 * ancestors of a spine node are spine nodes. So the leftmost node can go without any repair.
 *
 * All v and deadlines wrap: they are compared by the sign of their difference.
 */
#pragma once

#include "core/runqueue.h"

/* Cold halves of the inline functions below: the tree holds something before (and after). */
void eevdf_tree_insert(struct eevdf_queue *q, struct eevdf_entity *e);
void eevdf_tree_remove(struct eevdf_queue *q, struct eevdf_entity *e);
struct eevdf_entity *eevdf_tree_search(const struct eevdf_queue *q);
struct eevdf_entity *eevdf_rotate_slow(struct eevdf_queue *q, struct eevdf_entity *curr);

/* Panics at the first broken invariant of tree and sums; curr may be NULL. O(n), for tests. */
void eevdf_check(const struct eevdf_queue *q, const struct eevdf_entity *curr);

/* a < b for wrapping virtual times. */
static inline bool eevdf_before(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

/* An entity is owed CPU time, or has just got its share: V has reached its v. */
static inline bool eevdf_eligible(const struct eevdf_queue *q, const struct eevdf_entity *e)
{
	return !eevdf_before(q->V, e->v);
}

static inline bool eevdf_in_tree(const struct eevdf_queue *q, const struct eevdf_entity *e)
{
	return e->parent || q->root == e;
}

/* Makes e the only one in the tree. */
static inline void eevdf_tree_set_only(struct eevdf_queue *q, struct eevdf_entity *e)
{
	e->child[0] = NULL;
	e->child[1] = NULL;
	e->parent = NULL;
	e->red = false;
	q->left = e;
	q->right = e;
	q->root = e;
}

/* Puts a joined entity into the tree; among equal deadlines it goes last. */
static inline void eevdf_put(struct eevdf_queue *q, struct eevdf_entity *e)
{
	if (!q->root)
		eevdf_tree_set_only(q, e);
	else
		eevdf_tree_insert(q, e);
}

/* Takes an entity out of the tree; it stays in the sums. */
static inline void eevdf_take(struct eevdf_queue *q, struct eevdf_entity *e)
{
	if (q->left == q->right) {
		q->left = NULL;
		q->right = NULL;
		q->root = NULL;
	} else {
		eevdf_tree_remove(q, e);
	}
}

/* The eligible entity with the earliest deadline in the tree; NULL if none is eligible. */
static inline struct eevdf_entity *eevdf_first(const struct eevdf_queue *q)
{
	struct eevdf_entity *left = q->left;

	if (!left || eevdf_eligible(q, left))
		return left;
	return eevdf_tree_search(q);
}
