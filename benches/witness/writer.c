/* writer COUNT: as many 64-byte writes to /dev/null, and how long they took. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char bytes[64] = "sixty-four bytes that hold nothing of anybody's, just enough.\n";
    struct timespec a, b;
    int null = open("/dev/null", O_WRONLY);
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long n = argc > 1 ? atol(argv[1]) : 0; n > 0; n--)
        if (write(null, bytes, sizeof bytes) < 0)
            return 1;
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("timeit: %lld ns\n", (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec);
    return 0;
}
