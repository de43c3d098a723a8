//Numpy array shape [3]
//Min -0.168342798948
//Max 0.204614564776
//Number of zeros 0

#ifndef B9_H_
#define B9_H_

#ifndef __SYNTHESIS__
d6_bias_t b9[3];
#else
d6_bias_t b9[3] = {0.204615, -0.168343, -0.091414};

#endif

#endif
