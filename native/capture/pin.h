/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * What identifies one image of one process, read from its task: by plain loads, which the verifier allows on a task
 * that the kernel vouches for. A helper call for each of them costs more than all else that happens at a connect.
 */
#pragma once

#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"
#include "layout.h"

#define NS_PER_TICK 10000000ull

static __always_inline void pin_task(struct task_struct *task, struct process_pin *pin)
{
	struct inode *exe = task->mm->exe_file->f_inode;
	const struct cred *cred = task->cred;

	pin->start_ticks = task->group_leader->start_boottime / NS_PER_TICK;
	pin->exe_inode = exe->i_ino;
	pin->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	pin->image = task->self_exec_id;
	pin->exe_device = exe->i_sb->s_dev;
	pin->uid = cred->uid.val;
	pin->gid = cred->gid.val;
	pin->effective_uid = cred->euid.val;
	pin->effective_gid = cred->egid.val;
	pin->tgid = task->tgid;
}

static __always_inline bool same_pin(const struct process_pin *a, const struct process_pin *b)
{
	return a->start_ticks == b->start_ticks && a->exe_inode == b->exe_inode && a->cgroup_id == b->cgroup_id &&
	       a->image == b->image && a->exe_device == b->exe_device && a->uid == b->uid && a->gid == b->gid &&
	       a->effective_uid == b->effective_uid && a->effective_gid == b->effective_gid;
}
