/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The red-black tree against a sorted array: random insertion and removal with many equal keys, in
 * three mixes (growing, steady, shrinking), the tree's own rules checked after each step; equal
 * keys in order of insertion; and that the check finds a tree that was broken on purpose.
 *
 * Sources: core/rbtree.c
 * Flags: -Iarch/host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rbtree.h"

#define ITEMS 300

struct item {
	struct rb_node node;
	int key, order;
};

static struct item items[ITEMS], *sorted[ITEMS], *out[ITEMS];
static unsigned n, n_out;

void assert_failed(const struct assert_place *at)
{
	mock_assert(0, at->expr, at->file, at->line);
	abort();
}

static bool less(const struct rb_node *a, const struct rb_node *b)
{
	return container_of(a, struct item, node)->key < container_of(b, struct item, node)->key;
}

static void insert(struct rb_root *t, int key)
{
	static int order;
	struct item *item = out[--n_out];
	unsigned at = n;

	memset(item, 0x5a, sizeof(*item)); /* rb_insert() may count on nothing */
	item->key = key;
	item->order = order++;
	while (at && sorted[at - 1]->key > key)
		at--;
	memmove(sorted + at + 1, sorted + at, (n++ - at) * sizeof(sorted[0]));
	sorted[at] = item;
	/* what it does not set may be anything */
	memset(&item->node, 0x5a, sizeof(item->node));
	if (rb_empty(t) && rand() % 2)
		rb_insert_alone(t, &item->node);
	else
		rb_insert(t, &item->node, less);
}

static void erase(struct rb_root *t, unsigned at)
{
	struct item *item = sorted[at];

	memmove(sorted + at, sorted + at + 1, (--n - at) * sizeof(sorted[0]));
	out[n_out++] = item;
	if (n == 0 && rb_is_alone(t))
		rb_erase_alone(t);
	else
		rb_erase(t, &item->node);
}

static void matches(const struct rb_root *t)
{
	struct rb_node *node = rb_first(t);

	assert_int_equal(rb_check(t, less), n);
	assert_int_equal(rb_empty(t), n == 0);
	for (unsigned i = 0; i < n; i++, node = rb_next(node))
		assert_ptr_equal(node, &sorted[i]->node);
	assert_null(node);
}

static void reset(void)
{
	n = 0;
	n_out = ITEMS;
	for (int i = 0; i < ITEMS; i++)
		out[i] = &items[i];
}

static void like_a_sorted_array(void **state)
{
	static const unsigned insert_percent[] = { 70, 50, 30 };
	struct rb_root t;

	(void)state;
	srand(7);
	rb_init(&t);
	reset();
	for (unsigned mix = 0; mix < 9; mix++)
		for (unsigned i = 0; i < 1500; i++) {
			bool add = (unsigned)rand() % 100 < insert_percent[mix % 3];

			if (add && n_out)
				insert(&t, rand() % (mix < 3 ? 1000 : 10));
			else if (n)
				erase(&t, rand() % 4 ? (unsigned)rand() % n : 0);
			matches(&t);
		}
}

/* Every shape of up to 7 nodes, every node removed from each. */
static void all_small_trees(void **state)
{
	(void)state;
	for (unsigned size = 1; size <= 7; size++)
		for (unsigned gone = 0; gone < size; gone++)
			for (unsigned seed = 0; seed < 300; seed++) {
				struct rb_root t;

				srand(seed);
				rb_init(&t);
				reset();
				while (n < size)
					insert(&t, rand() % 16);
				erase(&t, gone);
				matches(&t);
			}
}

static void the_check_finds_damage(void **state)
{
	struct rb_root t;

	(void)state;
	rb_init(&t);
	reset();
	for (int i = 0; i < 20; i++)
		insert(&t, i);
	assert_int_equal(rb_check(&t, less), 20);
	sorted[3]->key = 50;
	assert_int_equal(rb_check(&t, less), -1);
	sorted[3]->key = 3;
	t.root->red = true;
	assert_int_equal(rb_check(&t, less), -1);
	t.root->red = false;
	t.first = &sorted[1]->node;
	assert_int_equal(rb_check(&t, less), -1);
	t.first = &sorted[0]->node;
	sorted[0]->node.red = !sorted[0]->node.red;
	assert_int_equal(rb_check(&t, less), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_a_sorted_array),
		cmocka_unit_test(all_small_trees),
		cmocka_unit_test(the_check_finds_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
