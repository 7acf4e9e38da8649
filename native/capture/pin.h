/* SPDX-License-Identifier: Dual MIT/GPL */
/* What identifies one image of one process, read from its task. */
#pragma once

#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"
#include "layout.h"

#define NS_PER_TICK 10000000ull

static __always_inline __u64 start_ticks(struct task_struct *task)
{
	return BPF_CORE_READ(task, group_leader, start_boottime) / NS_PER_TICK;
}

static __always_inline void pin_task(struct task_struct *task, struct process_pin *pin)
{
	struct inode *exe = BPF_CORE_READ(task, mm, exe_file, f_inode);
	const struct cred *cred = BPF_CORE_READ(task, cred);

	pin->start_ticks = start_ticks(task);
	pin->exe_inode = BPF_CORE_READ(exe, i_ino);
	pin->cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	pin->image = BPF_CORE_READ(task, self_exec_id);
	pin->exe_device = BPF_CORE_READ(exe, i_sb, s_dev);
	pin->uid = BPF_CORE_READ(cred, uid.val);
	pin->gid = BPF_CORE_READ(cred, gid.val);
	pin->effective_uid = BPF_CORE_READ(cred, euid.val);
	pin->effective_gid = BPF_CORE_READ(cred, egid.val);
	pin->tgid = BPF_CORE_READ(task, tgid);
}

static __always_inline bool same_pin(const struct process_pin *a, const struct process_pin *b)
{
	return a->start_ticks == b->start_ticks && a->exe_inode == b->exe_inode && a->cgroup_id == b->cgroup_id &&
	       a->image == b->image && a->exe_device == b->exe_device && a->uid == b->uid && a->gid == b->gid &&
	       a->effective_uid == b->effective_uid && a->effective_gid == b->effective_gid;
}
