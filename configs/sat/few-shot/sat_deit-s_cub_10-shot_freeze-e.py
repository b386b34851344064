# SAT, DeiT-S on CUB with 10 training images a class, Table 8 (e); the paper averages ten draws (`seed`). Epochs and
# batch are not published: the images are repeated to give about the iterations of the whole set.
_base_ = ['../sat_deit-s_cub_freeze-e.py']
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=3,
        dataset=dict(type='mmwsol.KShot', k=10, seed=0, dataset={{_base_.train_dataloader.dataset}})))
