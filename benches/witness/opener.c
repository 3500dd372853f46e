/* opener COUNT: four threads that open and close files, COUNT in total. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long each;

static void *work(void *number)
{
    char name[32];
    snprintf(name, sizeof name, "opened-%ld", (long)number);
    for (long i = 0; i < each; i++) {
        int fd = open(name, O_RDWR | O_CREAT, 0600);
        if (fd < 0 || close(fd))
            return &each;
    }
    return 0;
}

int main(int argc, char **argv)
{
    pthread_t threads[4];
    void *failed, *any = 0;
    each = (argc > 1 ? atol(argv[1]) : 0) / 4;
    for (long i = 0; i < 4; i++)
        pthread_create(&threads[i], 0, work, (void *)i);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        any = failed ? failed : any;
    }
    return any != 0;
}
