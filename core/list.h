/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Circular doubly linked list with a head. All operations are O(1) and need the lock of whoever
 * owns the list. A node that is in no list is self-linked after list_init() or list_del_init(), so
 * that membership can be tested.
 */
#pragma once

#include "core/base.h"

struct list_head {
	struct list_head *next, *prev;
};

static inline void list_init(struct list_head *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list_head *l)
{
	return l->next == l;
}

static inline void list_insert(struct list_head *node, struct list_head *prev,
			       struct list_head *next)
{
	node->next = next;
	node->prev = prev;
	prev->next = node;
	next->prev = node;
}

static inline void list_add_tail(struct list_head *node, struct list_head *head)
{
	list_insert(node, head->prev, head);
}

static inline void list_add_head(struct list_head *node, struct list_head *head)
{
	list_insert(node, head, head->next);
}

static inline void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
}

static inline void list_del_init(struct list_head *node)
{
	list_del(node);
	list_init(node);
}

#define list_first(head, type, member) container_of((head)->next, type, member)
#define list_for_each(pos, head) \
	for (struct list_head *pos = (head)->next; pos != (head); pos = pos->next)
