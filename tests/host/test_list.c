/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists against an array that is kept in the same order: random insertion at both ends and in the
 * middle, removal, membership.
 *
 * Flags: -Iarch/host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/list.h"

#define ITEMS 64

struct item {
	int value;
	struct list_head node;
};

static void matches(const struct list_head *head, struct item *const *model, unsigned n)
{
	const struct list_head *node = head;

	assert_int_equal(list_empty(head), n == 0);
	for (unsigned i = 0; i < n; i++) {
		assert_ptr_equal(node->next, &model[i]->node);
		assert_ptr_equal(node->next->prev, node);
		node = node->next;
	}
	assert_ptr_equal(node->next, head);
	assert_ptr_equal(head->prev, node);
}

static void like_an_array(void **state)
{
	struct item items[ITEMS], *model[ITEMS], *out[ITEMS];
	struct list_head head;
	unsigned n = 0, n_out = ITEMS;

	(void)state;
	srand(1);
	list_init(&head);
	for (int i = 0; i < ITEMS; i++) {
		items[i].value = i;
		list_init(&items[i].node);
		out[i] = &items[i];
	}
	for (int round = 0; round < 20000; round++) {
		unsigned at = n ? (unsigned)rand() % n : 0, op = (unsigned)rand() % 4;

		if (op < 2 && n_out) {
			struct item *item = out[--n_out];

			at = op ? n : 0;
			memmove(model + at + 1, model + at, (n++ - at) * sizeof(model[0]));
			model[at] = item;
			op ? list_add_tail(&item->node, &head) : list_add_head(&item->node, &head);
		} else if (n) {
			struct item *item = model[at];

			memmove(model + at, model + at + 1, (--n - at) * sizeof(model[0]));
			out[n_out++] = item;
			list_del_init(&item->node);
			assert_true(list_empty(&item->node));
		}
		matches(&head, model, n);
		if (n)
			assert_int_equal(list_first(&head, struct item, node)->value,
					 model[0]->value);
	}
}

static void iteration(void **state)
{
	struct item items[ITEMS];
	struct list_head head;
	int expected = 0;

	(void)state;
	list_init(&head);
	list_for_each(node, &head)
		fail();
	for (int i = 0; i < ITEMS; i++) {
		items[i].value = i;
		list_add_tail(&items[i].node, &head);
	}
	list_for_each(node, &head)
		assert_int_equal(container_of(node, struct item, node)->value, expected++);
	assert_int_equal(expected, ITEMS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_an_array),
		cmocka_unit_test(iteration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
