/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Answers, now, whether a process is still the image that opened a connection (security rule 10): a change of
 * credentials or cgroup leaves no trace that the hooks of capture.bpf.c could see. Any holder of the pinned
 * program may run it by BPF_PROG_RUN, without a capability. An object of its own, because bpf_task_from_pid
 * needs Linux 6.2; where it does not load, user space looks at the verdicts.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"
#include "layout.h"
#include "pin.h"

extern struct task_struct *bpf_task_from_pid(int pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;

/* 1 when the process of `wanted->tgid` is exactly that. */
SEC("syscall")
int tideway_inspect(struct process_pin *wanted)
{
	struct task_struct *task = bpf_task_from_pid(wanted->tgid);
	struct process_pin now = {};

	if (!task)
		return 0;
	pin_task(task, &now);
	bpf_task_release(task);
	return now.tgid == wanted->tgid && same_pin(&now, wanted);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
