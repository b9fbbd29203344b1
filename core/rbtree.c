/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Red-black tree with the first node cached (see rbtree.h). Both mirror images of each case are one
 * piece of code over a side index. Rules: the owner's lock is held; a node is in one tree at a
 * time; nothing here allocates.
 */
#include "core/rbtree.h"

__always_inline_fn unsigned long rb_side(const struct rb_node *n)
{
	return n == n->parent->child[1];
}

/* @new comes below @p, or becomes the root, where @old was. */
__always_inline_fn void rb_set_child(struct rb_root *t, struct rb_node *p,
				     const struct rb_node *old, struct rb_node *new)
{
	if (p)
		p->child[p->child[1] == old] = new;
	else
		t->root = new;
}

static void rb_replace_child(struct rb_root *t, struct rb_node *old, struct rb_node *new)
{
	struct rb_node *p = old->parent;

	rb_set_child(t, p, old, new);
	if (new)
		new->parent = p;
}

/* @n's child on the other side takes @n's place; @n becomes its child on @side. */
static void rb_rotate(struct rb_root *t, struct rb_node *n, unsigned long side)
{
	struct rb_node *up = n->child[!side], *inner = up->child[side], *p = n->parent;

	n->child[!side] = inner;
	if (inner)
		inner->parent = n;
	up->child[side] = n;
	n->parent = up;
	up->parent = p;
	rb_set_child(t, p, n, up);
}

__always_inline_fn bool rb_is_red(const struct rb_node *n)
{
	return n && n->red;
}

static void rb_insert_fix(struct rb_root *t, struct rb_node *n)
{
	struct rb_node *p;

	while (p = n->parent, rb_is_red(p)) {
		struct rb_node *g = p->parent, *uncle;
		unsigned long side = p == g->child[1];

		uncle = g->child[!side];
		g->red = true;
		if (rb_is_red(uncle)) {
			p->red = uncle->red = false;
			n = g;
			continue;
		}
		if (p->child[!side] == n) {
			rb_rotate(t, p, side);
			p = n;
		}
		p->red = false;
		rb_rotate(t, g, !side);
		break;
	}
	t->root->red = false;
}

void rb_link(struct rb_root *t, struct rb_node *n, struct rb_node *p, unsigned long side)
{
	n->child[0] = n->child[1] = NULL;
	n->parent = p;
	n->red = true;
	p->child[side] = n;
	if (p == t->first && !side)
		t->first = n;
	rb_insert_fix(t, n);
}

void rb_insert(struct rb_root *t, struct rb_node *n,
	       bool (*less)(const struct rb_node *, const struct rb_node *))
{
	struct rb_node *p, *next;
	bool side;

	if (rb_empty(t))
		return rb_insert_alone(t, n);
	if (!t->root)
		rb_grow(t);
	next = t->root;
	do {
		p = next;
		side = !less(n, p);
		next = p->child[side];
	} while (next);
	rb_link(t, n, p, side);
}

/* The subtree of @p on @side lost one black node (its top may be NULL). */
static void rb_erase_fix(struct rb_root *t, struct rb_node *p, unsigned long side)
{
	for (;;) {
		struct rb_node *n = p->child[side], *s = p->child[!side];

		if (rb_is_red(n)) {
			n->red = false;
			return;
		}
		if (s->red) {
			s->red = false;
			p->red = true;
			rb_rotate(t, p, side);
			s = p->child[!side];
		}
		if (!rb_is_red(s->child[0]) && !rb_is_red(s->child[1])) {
			s->red = true;
			if (p->red || !p->parent) {
				p->red = false;
				return;
			}
			side = rb_side(p);
			p = p->parent;
			continue;
		}
		if (!rb_is_red(s->child[!side])) {
			s->child[side]->red = false;
			s->red = true;
			rb_rotate(t, s, !side);
			s = p->child[!side];
		}
		s->red = p->red;
		p->red = false;
		s->child[!side]->red = false;
		rb_rotate(t, p, side);
		return;
	}
}

struct rb_node *rb_next(const struct rb_node *n)
{
	if (n->child[1]) {
		for (n = n->child[1]; n->child[0]; n = n->child[0])
			;
		return (struct rb_node *)n;
	}
	while (n->parent && rb_side(n) == 1)
		n = n->parent;
	return n->parent;
}

/*
 * Puts @heir, the successor of @n in its right subtree, into @n's place; *p becomes the parent of
 * the place that the heir left.
 */
static void rb_swap_heir(struct rb_root *t, struct rb_node *n, struct rb_node *heir,
			 struct rb_node **p)
{
	if (*p == n) {
		*p = heir;
	} else {
		rb_replace_child(t, heir, heir->child[1]);
		heir->child[1] = n->child[1];
		heir->child[1]->parent = heir;
	}
	rb_replace_child(t, n, heir);
	heir->child[0] = n->child[0];
	heir->child[0]->parent = heir;
	heir->red = n->red;
}

void rb_erase(struct rb_root *t, struct rb_node *n)
{
	struct rb_node *p = n->parent;
	bool lost_black = !n->red;
	unsigned long side = p ? rb_side(n) : 0;

	if (!t->root)
		return rb_erase_alone(t);
	if (t->first == n) /* then below it is one red leaf at most */
		t->first = n->child[1] ? n->child[1] : p;
	if (n->child[0] && n->child[1]) {
		struct rb_node *heir = rb_next(n);

		lost_black = !heir->red;
		p = heir->parent;
		side = rb_side(heir);
		rb_swap_heir(t, n, heir, &p);
	} else {
		rb_replace_child(t, n, n->child[0] ? n->child[0] : n->child[1]);
	}
	if (lost_black && p)
		rb_erase_fix(t, p, side);
	if (!t->root->child[0] && !t->root->child[1])
		t->root = NULL;
}

/*
 * Black height of the subtree, or -1 when a rule is broken. Depth is bounded by the tree's own
 * balance.
 */
static int rb_check_node(const struct rb_node *n, const struct rb_node *parent, int *count,
			 bool (*less)(const struct rb_node *, const struct rb_node *))
{
	int left, right;

	if (!n)
		return 0;
	if (n->parent != parent || (n->red && rb_is_red(parent)))
		return -1;
	if ((n->child[0] && less(n, n->child[0])) || (n->child[1] && less(n->child[1], n)))
		return -1;
	left = rb_check_node(n->child[0], n, count, less);
	right = rb_check_node(n->child[1], n, count, less);
	if (left < 0 || left != right)
		return -1;
	++*count;
	return left + !n->red;
}

int rb_check(const struct rb_root *t, bool (*less)(const struct rb_node *, const struct rb_node *))
{
	const struct rb_node *first = t->root;
	int count = 0;

	if (!first && t->first)
		return t->first->child[1] || t->first->parent ? -1 : 1;
	if (first && !first->child[0] && !first->child[1])
		return -1;
	while (first && first->child[0])
		first = first->child[0];
	if (first != t->first || rb_is_red(t->root) ||
	    rb_check_node(t->root, NULL, &count, less) < 0)
		return -1;
	return count;
}
