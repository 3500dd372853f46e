/* Stands in for the jail's first process: installs the filter, hands its listener over without any call that the
 * filter traps (through a shared page), then starts the subject and waits for it.
 *
 * launcher PAGE FILTER MODE ROOT CMD...     MODE: "-" as it is, "n" in its own user, pid and mount namespaces, with
 * ROOT (a bind mount of "/" where it is "/") as root by pivot_root.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct page {
    _Atomic int pid;      /* host id of the first process */
    _Atomic int listener; /* its descriptor, plus one */
    _Atomic int go;       /* the witness is at work */
};

static void die(const char *what) {
    perror(what);
    _exit(125);
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) die(path);
    close(fd);
}

static void enter_root(const char *root) {
    char old[4096];
    snprintf(old, sizeof old, "%s/old", root);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) die("private");
    if (mount(root, root, NULL, MS_BIND | MS_REC, NULL)) die("bind root");
    for (int i = 0; i < 3; i++) {
        static const char *shown[] = {"usr", "etc", "dev"};
        char from[64], to[4200];
        snprintf(from, sizeof from, "/%s", shown[i]);
        snprintf(to, sizeof to, "%s/%s", root, shown[i]);
        mkdir(to, 0755);
        if (mount(from, to, NULL, MS_BIND | MS_REC, NULL)) die(to);
    }
    static const char *links[] = {"bin", "lib", "lib64", "sbin"};
    for (int i = 0; i < 4; i++) {
        char to[64], at[4200];
        snprintf(to, sizeof to, "usr/%s", links[i]);
        snprintf(at, sizeof at, "%s/%s", root, links[i]);
        if (symlink(to, at)) die(at);
    }
    mkdir(old, 0755);
    if (syscall(SYS_pivot_root, root, old) || chdir("/")) die("pivot_root");
    mkdir("/proc", 0755);
    if (mount("proc", "/proc", "proc", 0, NULL)) die("proc");
    if (umount2("/old", MNT_DETACH)) die("umount");
}

int main(int argc, char **argv) {
    if (argc < 6) return 125;
    int page_fd = open(argv[1], O_RDWR | O_CLOEXEC), filter_fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    struct page *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
    if (page == MAP_FAILED) die("page");
    static struct sock_filter code[4096];
    ssize_t size = read(filter_fd, code, sizeof code);
    if (size <= 0) die("filter");
    close(page_fd);
    close(filter_fd);

    if (argv[3][0] == 'n') {
        char map[64];
        uid_t uid = getuid();
        gid_t gid = getgid();
        if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET)) die("unshare");
        put("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %u 1", uid);
        put("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "0 %u 1", gid);
        put("/proc/self/gid_map", map);
        prctl(PR_SET_DUMPABLE, 1);
    }
    pid_t first = fork();
    if (first < 0) die("fork");
    if (first > 0) {
        page->pid = first;
        int status;
        waitpid(first, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argv[3][0] == 'n' && argv[4][0] != '-') enter_root(argv[4]);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    struct sock_fprog program = {.len = size / sizeof *code, .filter = code};
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                            SECCOMP_FILTER_FLAG_NEW_LISTENER | (1UL << 5) /* WAIT_KILLABLE_RECV */, &program);
    if (listener < 0) listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (listener < 0) die("seccomp");
    page->listener = (int)listener + 1;
    while (!page->go) sched_yield();
    close((int)listener);
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[5], argv + 5);
        die(argv[5]);
    }
    int status, got = 0;
    pid_t pid;
    while ((pid = wait(&status)) > 0 || errno == EINTR)
        if (pid == child) got = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    _exit(got);
}
