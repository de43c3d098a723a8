//Numpy array shape [4]
//Min -0.275425970554
//Max 0.701353669167
//Number of zeros 0

#ifndef B9_H_
#define B9_H_

#ifndef __SYNTHESIS__
d6_bias_t b9[4];
#else
d6_bias_t b9[4] = {0.7013536692, -0.0445168763, -0.2754259706, 0.0577028356};

#endif

#endif
