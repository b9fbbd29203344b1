/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fair class's tree: insertion, removal, search (see eevdf_tree.h for what it keeps and why).
 *
 * The caller holds the lock of the queue. Nothing here allocates, blocks or prints, no loop is
 * longer than the height of the tree (<= 2 log2(n + 1)), and nothing recurses except the checker.
 * V, S, W and nr are read only by the search; the sums are eevdf.h's.
 *
 * The textbook's cases (CLRS chapter 13, without a sentinel) are written once for a side, and for
 * insertion instantiated for left and right by constant folding. The two ends have loops of their own: there
 * half of the cases cannot occur, and on the left spine no minimum is kept.
 */
#include "sched/eevdf.h"
#include "sched/eevdf_tree.h"

/* Which child: its index. ANY, for the place of a node below its parent: found by looking. */
enum { LEFT, RIGHT, ANY };

static inline bool is_red(const struct eevdf_entity *e)
{
	return e && e->red;
}

static inline uint64_t min_of(const struct eevdf_entity *e)
{
	const struct eevdf_entity *l = e->child[LEFT], *r = e->child[RIGHT];
	uint64_t min_v = e->v;

	if (l && eevdf_before(l->min_v, min_v))
		min_v = l->min_v;
	if (r && eevdf_before(r->min_v, min_v))
		min_v = r->min_v;
	return min_v;
}

/* new takes the place of old, the child of p on side at. */
__always_inline_fn void replace_child(struct eevdf_queue *q, struct eevdf_entity *p,
				      const struct eevdf_entity *old, struct eevdf_entity *new,
				      int at)
{
	if (!p)
		q->root = new;
	else
		p->child[at == ANY ? p->child[RIGHT] == old : at] = new;
}

/*
 * x, on side at of its parent, goes down to the given side, its child on the other side comes up;
 * minima are the caller's.
 */
__always_inline_fn struct eevdf_entity *rotate_links(struct eevdf_queue *q, struct eevdf_entity *x,
						     int side, int at)
{
	struct eevdf_entity *up = x->child[!side], *inner = up->child[side], *p = x->parent;

	x->child[!side] = inner;
	if (inner)
		inner->parent = x;
	up->child[side] = x;
	x->parent = up;
	up->parent = p;
	replace_child(q, p, x, up, at);
	return up;
}

/*
 * Rotates and keeps minima. If x is on the left spine then so is what comes up, whose min_v may
 * take any value; x itself gets a true one if it leaves the spine, because its children are off it.
 */
__always_inline_fn void rotate(struct eevdf_queue *q, struct eevdf_entity *x, int side, int at)
{
	uint64_t min_v = x->min_v;

	rotate_links(q, x, side, at)->min_v = min_v;
	x->min_v = min_of(x);
}

/* e has come below p: p and its ancestors learn its v. */
static inline void min_lower(struct eevdf_entity *p, uint64_t v)
{
	while (p && eevdf_before(v, p->min_v)) {
		p->min_v = v;
		p = p->parent;
	}
}

/* Something with this v has gone from below p: repairs up to, not including, end. */
static inline void min_raise(struct eevdf_entity *p, const struct eevdf_entity *end, uint64_t v)
{
	while (p != end && p->min_v == v) {
		uint64_t min_v = min_of(p);

		if (min_v == v)
			return;
		p->min_v = min_v;
		p = p->parent;
	}
}

/* e and its parent p, the child of g on the given side, are red. Returns the next e, NULL: done. */
__always_inline_fn struct eevdf_entity *insert_fix_step(struct eevdf_queue *q,
							struct eevdf_entity *e,
							struct eevdf_entity *p,
							struct eevdf_entity *g, int side)
{
	struct eevdf_entity *uncle = g->child[!side];

	if (is_red(uncle)) {
		uncle->red = false;
		p->red = false;
		g->red = true;
		return g;
	}
	if (p->child[!side] == e) {
		rotate(q, p, side, side);
		p = e;
	}
	p->red = false;
	g->red = true;
	rotate(q, g, !side, ANY);
	return NULL;
}

static void insert_fix(struct eevdf_queue *q, struct eevdf_entity *e)
{
	struct eevdf_entity *p, *g;

	while (e) {
		p = e->parent;
		if (!p) {
			e->red = false;
			return;
		}
		if (!p->red)
			return;
		g = p->parent;
		if (g->child[LEFT] == p)
			e = insert_fix_step(q, e, p, g, LEFT);
		else
			e = insert_fix_step(q, e, p, g, RIGHT);
	}
}

/* The same when e is the outermost node of a side: all nodes above it are, up to the root. */
__always_inline_fn void insert_fix_end(struct eevdf_queue *q, struct eevdf_entity *e, int side)
{
	struct eevdf_entity *p = e->parent, *g, *uncle;

	while (p->red) {
		g = p->parent;
		uncle = g->child[!side];
		p->red = false;
		if (!is_red(uncle)) {
			g->red = true;
			rotate(q, g, !side, side);
			return;
		}
		uncle->red = false;
		p = g->parent;
		if (!p)
			return;
		g->red = true;
	}
}

static inline void link_leaf(struct eevdf_entity *p, struct eevdf_entity *e, int side)
{
	e->child[LEFT] = NULL;
	e->child[RIGHT] = NULL;
	e->parent = p;
	e->red = true;
	e->min_v = e->v;
	p->child[side] = e;
}

static void insert_middle(struct eevdf_queue *q, struct eevdf_entity *e)
{
	struct eevdf_entity *p, *next = q->root;
	uint64_t after = e->deadline + 1;
	int side;

	do {
		p = next;
		side = (int)((p->deadline - after) >> 63); /* 1, RIGHT: p's is not later */
		next = p->child[side];
	} while (next);
	link_leaf(p, e, side);
	min_lower(p, e->v);
	if (p->red)
		insert_fix(q, e);
}

static inline void append(struct eevdf_queue *q, struct eevdf_entity *right, struct eevdf_entity *e)
{
	link_leaf(right, e, RIGHT);
	q->right = e;
	min_lower(right, e->v);
	insert_fix_end(q, e, RIGHT);
}

void eevdf_tree_insert(struct eevdf_queue *q, struct eevdf_entity *e)
{
	struct eevdf_entity *left = q->left, *right = q->right;

	if (!eevdf_before(e->deadline, right->deadline)) {
		append(q, right, e);
	} else if (eevdf_before(e->deadline, left->deadline)) {
		link_leaf(left, e, LEFT);
		q->left = e;
		insert_fix_end(q, e, LEFT);
	} else {
		insert_middle(q, e);
	}
}

/*
 * The subtree of p on the given side lacks one black node. Returns p if now p's own subtree lacks
 * one, NULL: done. On the left spine rotations to the left keep no minima.
 */
__always_inline_fn struct eevdf_entity *remove_fix_step(struct eevdf_queue *q,
							struct eevdf_entity *p, int side,
							bool spine)
{
	struct eevdf_entity *sibling = p->child[!side], *near, *far;

	if (sibling->red) {
		sibling->red = false;
		p->red = true;
		if (spine)
			rotate_links(q, p, side, LEFT);
		else
			rotate(q, p, side, ANY);
		sibling = p->child[!side];
	}
	near = sibling->child[side];
	far = sibling->child[!side];
	if (!is_red(far)) {
		if (!is_red(near)) {
			sibling->red = true;
			if (!p->red)
				return p;
			p->red = false;
			return NULL;
		}
		rotate(q, sibling, !side, !side);
		far = sibling;
		sibling = near;
	}
	sibling->red = p->red;
	p->red = false;
	far->red = false;
	if (spine)
		rotate_links(q, p, side, LEFT);
	else
		rotate(q, p, side, ANY);
	return NULL;
}

/* x, NULL at the start, is the child of p whose subtree lacks a black node. */
static void remove_fix(struct eevdf_queue *q, struct eevdf_entity *p)
{
	struct eevdf_entity *x = NULL;

	while (p) {
		x = remove_fix_step(q, p, p->child[LEFT] != x, false);
		p = x ? x->parent : NULL;
	}
}

/* The leftmost node goes: no minimum to repair, and every step is on the left side. */
static inline void remove_left(struct eevdf_queue *q, struct eevdf_entity *e)
{
	struct eevdf_entity *c = e->child[RIGHT], *p = e->parent;

	e->parent = NULL;
	if (c) {
		c->parent = p;
		c->red = false;
		replace_child(q, p, e, c, LEFT);
		q->left = c;
		return;
	}
	q->left = p;
	p->child[LEFT] = NULL;
	if (e->red)
		return;
	while (p) {
		p = remove_fix_step(q, p, LEFT, true);
		if (p)
			p = p->parent;
	}
}

/* e has at most one child, which then is a red leaf. */
static void remove_outer(struct eevdf_queue *q, struct eevdf_entity *e)
{
	struct eevdf_entity *p = e->parent;
	struct eevdf_entity *c = e->child[LEFT] ? e->child[LEFT] : e->child[RIGHT];

	e->parent = NULL;
	if (q->right == e)
		q->right = c ? c : p;
	replace_child(q, p, e, c, ANY);
	min_raise(p, NULL, e->v);
	if (c) {
		c->parent = p;
		c->red = false;
	} else if (!e->red) {
		remove_fix(q, p);
	}
}

/* e has two children: its successor s leaves its own place and takes e's. */
static void remove_inner(struct eevdf_queue *q, struct eevdf_entity *e)
{
	struct eevdf_entity *s = e->child[RIGHT], *p, *c;
	bool was_red;

	while (s->child[LEFT])
		s = s->child[LEFT];
	p = s->parent;
	c = s->child[RIGHT];
	was_red = s->red;
	replace_child(q, p, s, c, ANY);
	if (c)
		c->parent = p;
	if (p == e)
		p = s;
	else
		min_raise(p, e, s->v);

	s->child[LEFT] = e->child[LEFT];
	s->child[RIGHT] = e->child[RIGHT];
	s->parent = e->parent;
	s->red = e->red;
	s->min_v = e->min_v;
	s->child[LEFT]->parent = s;
	if (s->child[RIGHT])
		s->child[RIGHT]->parent = s;
	replace_child(q, e->parent, e, s, ANY);
	e->parent = NULL;
	min_raise(s, NULL, e->v);
	if (c)
		c->red = false;
	else if (!was_red)
		remove_fix(q, p);
}

void eevdf_tree_remove(struct eevdf_queue *q, struct eevdf_entity *e)
{
	if (e == q->left)
		remove_left(q, e);
	else if (e->child[LEFT] && e->child[RIGHT])
		remove_inner(q, e);
	else
		remove_outer(q, e);
}

/* The eligible entity with the earliest deadline below e, where min_v says that there is one. */
static struct eevdf_entity *search_down(const struct eevdf_queue *q, struct eevdf_entity *e)
{
	for (;;) {
		struct eevdf_entity *l = e->child[LEFT];

		if (l && !eevdf_before(q->V, l->min_v))
			e = l;
		else if (eevdf_eligible(q, e))
			return e;
		else
			e = e->child[RIGHT];
	}
}

/* Climbs the left spine in the order of deadlines: right subtree, parent, its right subtree ... */
struct eevdf_entity *eevdf_tree_search(const struct eevdf_queue *q)
{
	struct eevdf_entity *e = q->left, *r;

	while (e && !eevdf_eligible(q, e)) {
		r = e->child[RIGHT];
		if (r && !eevdf_before(q->V, r->min_v))
			return search_down(q, r);
		e = e->parent;
	}
	return e;
}

/* The cases of eevdf_rotate_slow() that need the whole tree. */
static __noinline struct eevdf_entity *rotate_any(struct eevdf_queue *q, struct eevdf_entity *curr)
{
	struct eevdf_entity *n = eevdf_first(q);

	if (!n || (eevdf_eligible(q, curr) && eevdf_before(curr->deadline, n->deadline)))
		return curr;
	eevdf_tree_remove(q, n);
	eevdf_tree_insert(q, curr);
	return n;
}

/*
 * eevdf_rotate() with two or more in the tree. What equal threads do all the time, the leftmost
 * out and curr in at the right, makes no call, so no register is saved for it.
 */
struct eevdf_entity *eevdf_rotate_slow(struct eevdf_queue *q, struct eevdf_entity *curr)
{
	struct eevdf_entity *n = q->left, *right = q->right;

	if (!eevdf_eligible(q, n) || eevdf_before(curr->deadline, right->deadline))
		return rotate_any(q, curr);
	/* n is as early as any, and curr is as late. */
	remove_left(q, n);
	append(q, right, curr);
	return n;
}

/* What one pass over the tree adds up; spread = sum(weight * (v - V) + rem). */
struct check {
	uint32_t nr;
	uint64_t W;
	int64_t spread;
	bool eligible;
	const struct eevdf_entity *last;
};

static void check_entity(const struct eevdf_queue *q, const struct eevdf_entity *e, struct check *c)
{
	ASSERT(e->joined);
	ASSERT(!e->delayed || !eevdf_in_tree(q, e));
	ASSERT(e->weight >= EEVDF_WEIGHT_MIN && e->weight <= EEVDF_WEIGHT_MAX);
	ASSERT(e->vslice == e->slice_ns * 1024 / e->weight);
	ASSERT(e->rem < e->weight);
	c->nr += !e->delayed;
	c->W += e->weight;
	c->spread += (int64_t)(e->v - q->V) * e->weight + e->rem;
	c->eligible |= eevdf_eligible(q, e);
}

/* Returns the black height; recursion is as deep as the tree is high. */
static uint32_t check_subtree(const struct eevdf_queue *q, const struct eevdf_entity *e, bool spine,
			      struct check *c)
{
	uint32_t left, right;

	if (!e)
		return 0;
	for (int side = LEFT; side <= RIGHT; side++) {
		const struct eevdf_entity *child = e->child[side];

		ASSERT(!child || child->parent == e);
		ASSERT(!e->red || !is_red(child));
	}
	left = check_subtree(q, e->child[LEFT], spine, c);
	ASSERT(c->last || q->left == e);
	ASSERT(!c->last || !eevdf_before(e->deadline, c->last->deadline));
	c->last = e;
	check_entity(q, e, c);
	right = check_subtree(q, e->child[RIGHT], false, c);
	ASSERT(left == right);
	ASSERT(spine || e->min_v == min_of(e));
	return left + !e->red;
}

void eevdf_check(const struct eevdf_queue *q, const struct eevdf_entity *curr)
{
	struct check c = { 0 };

	ASSERT(!q->root || (!q->root->parent && !q->root->red));
	check_subtree(q, q->root, true, &c);
	ASSERT(c.last == q->right);
	ASSERT(c.last || !q->left);
	if (curr) {
		ASSERT(!eevdf_in_tree(q, curr));
		check_entity(q, curr, &c);
	}
	for (struct rb_node *n = rb_first(&q->debtors); n; n = rb_next(n))
		check_entity(q, container_of(n, struct eevdf_entity, debtor), &c);
	ASSERT(c.nr == q->nr && c.W == q->W);
	ASSERT((uint64_t)c.spread == q->S);
	ASSERT(q->W ? q->S < q->W : !q->S);
	ASSERT(c.eligible || !c.nr);
}
