/* The least a hook program can be: the yardstick for a call that has nothing to run. */
int main(void)
{
    return 0;
}
